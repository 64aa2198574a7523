-- Releases the queue's lock, if it is this run's, and schedules the end of the quarantine's retention.
-- KEYS: the lock, the run, the cluster's index of runs
-- ARGV: UID; end of the retention, in seconds since the epoch
-- Returns: OK | LOST | OPEN (the run was not closed)
local lock, run, index, uid = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local state = redis.call('HGET', run, 'state')
if not state then return {'LOST'} end
if state ~= 'closed' then return {'OPEN'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
redis.call('HSET', run, 'expires', ARGV[2])
redis.call('ZADD', index, ARGV[2], uid)
if redis.call('GET', lock) == uid then redis.call('DEL', lock) end
return {'OK'}
