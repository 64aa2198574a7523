-- Moves some entries of `unacked` into the quarantine, each unchanged and with the time of its delivery.
-- KEYS: the run, unacked, unacked_index, the quarantine's hash and sorted set
-- ARGV: UID; number of the purge attempt; the run's fields that count these entries, and the large ones among them; the size of the
--       largest entry that is not large, in bytes; delivery tags, at most 100
-- Returns: OK (also for entries that are gone or were moved already, and if the attempt is complete)
--          | LOST | CLOSED | PUSHED | SKIPPED (the attempt before has not passed its boundary) | WRONGTYPE, key
--          | UNKNOWNCONSUMER (an entry that was moved before is there again)
local run, unacked, index, entries, times = unpack(KEYS)
local attempt = tonumber(ARGV[2])
local uid, state, passed, complete, pushed =
  unpack(redis.call('HMGET', run, 'uid', 'state', 'attempt', 'complete', 'pushed'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end
if tonumber(complete or '0') >= attempt then return {'OK'} end
if pushed then return {'PUSHED'} end
if tonumber(passed or '0') < attempt - 1 then return {'SKIPPED'} end
local wanted = {[unacked] = 'hash', [index] = 'zset', [entries] = 'hash', [times] = 'zset'}
for key, kind in pairs(wanted) do
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then return {'WRONGTYPE', key} end
end
for i = 6, #ARGV do
  if redis.call('HEXISTS', unacked, ARGV[i]) == 1 and redis.call('HEXISTS', entries, ARGV[i]) == 1 then
    return {'UNKNOWNCONSUMER'}
  end
end

local moved, large = 0, 0
for i = 6, #ARGV do
  local tag = ARGV[i]
  local entry = redis.call('HGET', unacked, tag)
  if entry then
    local time = redis.call('ZSCORE', index, tag)
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
    redis.call('HSET', entries, tag, entry)
    if time then redis.call('ZADD', times, time, tag) end
    moved = moved + 1
    if #entry > tonumber(ARGV[5]) then large = large + 1 end
  end
end
if large > 0 then redis.call('HINCRBY', run, ARGV[4], large) end
if moved > 0 then redis.call('HINCRBY', run, ARGV[3], moved) end
return {'OK'}
