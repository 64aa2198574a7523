-- Marks a sweep as complete: from here on a process that was held up can move no entry of `unacked` for it any more,
-- when workers hold messages by right again.
-- KEYS: the run
-- ARGV: UID; number of the sweep
-- Returns: OK (also when it is complete already) | LOST | CLOSED | SKIPPED (its boundary has not been passed)
local run, sweep = KEYS[1], tonumber(ARGV[2])
local uid, state, passed, complete = unpack(redis.call('HMGET', run, 'uid', 'state', 'sweep', 'complete'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end
if tonumber(passed or '0') < sweep then return {'SKIPPED'} end
if tonumber(complete or '0') >= sweep then return {'OK'} end

redis.call('HDEL', run, '') -- a full server then takes the rest too
redis.call('HSET', run, 'complete', sweep)
return {'OK'}
