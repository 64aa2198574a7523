-- Brings what is kept of a list back to the tail, before all that producers have pushed meanwhile. That is laid
-- behind it first, some messages at each call; the call that finds few enough makes all of it the queue's list at once.
-- KEYS: the run, the list of what is kept, the queue's list
-- ARGV: UID; the run's field that counts the list's messages not sorted yet; most messages, and most bytes, of one call
-- Returns: OK (also when it is back already; it is once the field is gone) | LOST | CLOSED
--          | UNSORTED (the list has not been sorted) | WRONGTYPE, key
local run, kept, list = unpack(KEYS)
local uid, state, rest = unpack(redis.call('HMGET', run, 'uid', 'state', ARGV[2]))
if uid ~= ARGV[1] then return {'LOST'} end
if not rest then return {'OK'} end
if state ~= 'purged' then return {'CLOSED'} end
if rest ~= '0' then return {'UNSORTED'} end
local found = redis.call('TYPE', list)['ok']
if found ~= 'list' and found ~= 'none' then return {'WRONGTYPE', list} end

redis.call('HDEL', run, '') -- a full server then takes the rest too
if redis.call('EXISTS', kept) == 1 then
  local messages, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
  while messages > 0 and bytes > 0 do
    local message = redis.call('RPOP', list)
    if not message then break end
    redis.call('LPUSH', kept, message)
    messages, bytes = messages - 1, bytes - #message
  end
  if redis.call('RENAMENX', kept, list) == 0 then return {'OK'} end
end
redis.call('HDEL', run, ARGV[2])
redis.call('HINCRBY', run, 'unsorted', -1)
return {'OK'}
