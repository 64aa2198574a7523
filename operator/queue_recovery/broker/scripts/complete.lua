-- Marks a purge attempt as complete: from here on a process that was delayed cannot move entries of `unacked` for it,
-- since workers run again.
-- KEYS: the run
-- ARGV: UID; number of the attempt
-- Returns: OK (also if it is complete already) | LOST | CLOSED | SKIPPED (its boundary was not passed)
local run, attempt = KEYS[1], tonumber(ARGV[2])
local uid, state, passed, complete = unpack(redis.call('HMGET', run, 'uid', 'state', 'attempt', 'complete'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end
if tonumber(passed or '0') < attempt then return {'SKIPPED'} end
if tonumber(complete or '0') >= attempt then return {'OK'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
redis.call('HSET', run, 'complete', attempt)
return {'OK'}
