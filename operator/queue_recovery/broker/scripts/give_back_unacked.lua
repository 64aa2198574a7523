-- Moves entries of the quarantine back to `unacked`, unchanged and with the time of their delivery.
-- KEYS: the run, unacked, unacked_index, the quarantine's hash and sorted set
-- ARGV: UID; delivery tags, at most 100
-- Returns: OK (also for entries that are back already, and if another process has closed the run meanwhile)
--          | LOST | WRONGTYPE, key
local run, unacked, index, entries, times = unpack(KEYS)
local uid, state = unpack(redis.call('HMGET', run, 'uid', 'state'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'closing' then return {'OK'} end
local wanted = {[unacked] = 'hash', [index] = 'zset', [entries] = 'hash', [times] = 'zset'}
for key, kind in pairs(wanted) do
  local found = redis.call('TYPE', key)['ok']
  if found ~= kind and found ~= 'none' then return {'WRONGTYPE', key} end
end

for i = 2, #ARGV do
  local tag = ARGV[i]
  local entry = redis.call('HGET', entries, tag)
  if entry and redis.call('HEXISTS', unacked, tag) == 0 then
    local time = redis.call('ZSCORE', times, tag)
    redis.call('HDEL', entries, tag)
    redis.call('ZREM', times, tag)
    redis.call('HSET', unacked, tag, entry)
    if time then redis.call('ZADD', index, time, tag) end
  end
end
return {'OK'}
