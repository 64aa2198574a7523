-- Unlinks a quarantine whose time has come, unless a recovery is putting messages of it back.
-- KEYS: the lock of its queue; then the quarantine's keys
-- ARGV: UID of the quarantine's run; what the keys of runs begin with
-- Returns: OK | IN_USE
local holder = redis.call('GET', KEYS[1])
if holder and redis.call('HGET', ARGV[2] .. holder, 'from') == ARGV[1] then return {'IN_USE'} end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return {'OK'}
