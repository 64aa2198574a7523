-- Gives entries of `unacked` back to the tail of a list as plain messages: an entry is `[message, exchange, routing key]`,
-- and the message is cut out here, byte for byte, so that a large one is never sent.
-- KEYS: the run, unacked, unacked_index; then lists of the queue
-- ARGV: UID; then, for each entry, its delivery tag, the time of its delivery as it was read (the score, as text), the
--       number of its list among the lists, and what follows its message in the entry; at most 100 entries, those that are
--       to be consumed last come first
-- Returns: OK (also for entries that are gone, or were delivered again since they were read) | LOST | CLOSED
--          | UNPURGED | WRONGTYPE, key
local run, unacked, index = KEYS[1], KEYS[2], KEYS[3]
local uid, state, given = unpack(redis.call('HMGET', run, 'uid', 'state', 'redelivered'))
if uid ~= ARGV[1] then return {'LOST'} end
if state == 'preparing' then return {'UNPURGED'} end
if state ~= 'purged' then return {'CLOSED'} end
if given and not (given:match('^%d+$') and #given < 16) then -- HINCRBY would refuse it after the messages were moved
  return redis.error_reply('ERR hash value is not an integer')
end
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i])['ok']
  local wanted = i == 2 and 'hash' or i == 3 and 'zset' or 'list'
  if found ~= wanted and found ~= 'none' then return {'WRONGTYPE', KEYS[i]} end
end

local count = 0 -- the first write frees memory, so a full server accepts the rest too
for i = 2, #ARGV, 4 do
  local tag, time, list, after = ARGV[i], ARGV[i + 1], KEYS[3 + tonumber(ARGV[i + 2])], ARGV[i + 3]
  local entry = redis.call('HGET', unacked, tag)
  if entry and (redis.call('ZSCORE', index, tag) or '') == time and entry:sub(-#after) == after then
    local _, before = entry:find('^%s*%[%s*')
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
    redis.call('RPUSH', list, entry:sub((before or 0) + 1, -#after - 1))
    count = count + 1
  end
end
if count > 0 then redis.call('HINCRBY', run, 'redelivered', count) end
return {'OK'}
