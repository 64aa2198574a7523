-- Takes the queue's lock and creates the run in state `preparing`.
-- KEYS: the lock, the run
-- ARGV: UID, name and cluster of the recovery; key of the queue's bare list
-- Returns: OK (also when it is open already) | CLOSED | LOCKED, UID of the holder | LOST (lock without run)
local lock, run, uid = KEYS[1], KEYS[2], ARGV[1]
local state = redis.call('HGET', run, 'state')
if state == 'closing' or state == 'closed' then return {'CLOSED'} end
local holder = redis.call('GET', lock)
if holder and holder ~= uid then return {'LOCKED', holder} end
if holder and not state then return {'LOST'} end

-- A full server refuses all but a script whose first write can free memory.
redis.call('HDEL', run, '')
redis.call('SET', lock, uid)
if not state then
  redis.call('HSET', run, 'uid', uid, 'name', ARGV[2], 'cluster', ARGV[3], 'list', ARGV[4], 'state', 'preparing')
end
return {'OK'}
