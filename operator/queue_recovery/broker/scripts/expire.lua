-- Unlinks a quarantine whose retention is over, unless a recovery is restoring its messages.
-- KEYS: the lock of its queue; then the quarantine's keys
-- ARGV: UID of the quarantine's run; prefix of the keys of runs
-- Returns: OK | IN_USE
local holder = redis.call('GET', KEYS[1])
if holder and redis.call('HGET', ARGV[2] .. holder, 'from') == ARGV[1] then return {'IN_USE'} end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return {'OK'}
