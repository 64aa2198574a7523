-- Moves entries of an earlier run's quarantine to the tail of its lists, as plain messages: an entry is
-- `[message, exchange, routing key]`, and the message is cut out here, so that a large one is never sent.
-- KEYS: the run, the earlier run, the quarantine's hash and sorted set; then lists of the quarantine
-- ARGV: UID; number of lists; for each list the earlier run's field that counts it; then, for each entry, its delivery
--       tag, the number of its list among the lists, and how many bytes follow its message; at most 100 entries
-- Returns: OK (also for entries that were moved already, and if the lists are being sorted) | LOST | CLOSED
--          | WRONGTYPE, key
local run, earlier, entries, times = unpack(KEYS)
local uid, state, from = unpack(redis.call('HMGET', run, 'uid', 'state', 'from'))
if uid ~= ARGV[1] or not from or earlier:sub(-#from) ~= from then return {'LOST'} end
if state == 'purged' then return {'OK'} end
if state ~= 'preparing' then return {'CLOSED'} end
if redis.call('HGET', earlier, 'state') ~= 'closed' then return {'LOST'} end
for i = 5, #KEYS do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'list' and found ~= 'none' then return {'WRONGTYPE', KEYS[i]} end
end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
local lists = tonumber(ARGV[2])
for i = 3 + lists, #ARGV, 3 do
  local tag, place = ARGV[i], tonumber(ARGV[i + 1])
  local entry = redis.call('HGET', entries, tag)
  if entry then
    local _, before = entry:find('^%s*%[%s*')
    redis.call('HDEL', entries, tag)
    redis.call('ZREM', times, tag)
    redis.call('RPUSH', KEYS[4 + place], entry:sub((before or 0) + 1, -tonumber(ARGV[i + 2]) - 1))
    redis.call('HINCRBY', earlier, ARGV[2 + place], 0) -- the field must exist: retention finds the list by it
  end
end
return {'OK'}
