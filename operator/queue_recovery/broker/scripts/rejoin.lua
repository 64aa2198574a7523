-- Returns the messages of a sorted list that go back to the tail of the queue's list. First, what producers have pushed
-- meanwhile is moved behind them, some messages per call; the call that finds few enough renames all to the queue's list.
-- KEYS: the run, the list of messages that go back, the queue's list
-- ARGV: UID; the run's field that counts the list's unsorted messages; most messages, and most bytes, of one call; then the
--       run's fields that count the messages that go back
-- Returns: OK (also if all is back already: the field is gone then) | LOST | CLOSED
--          | UNSORTED (the list has not been sorted) | MISSING (fewer messages go back than were set aside)
--          | WRONGTYPE, key
local run, going, list = unpack(KEYS)
local uid, state, rest = unpack(redis.call('HMGET', run, 'uid', 'state', ARGV[2]))
if uid ~= ARGV[1] then return {'LOST'} end
if not rest then return {'OK'} end
if state ~= 'purged' then return {'CLOSED'} end
if rest ~= '0' then return {'UNSORTED'} end
local found = redis.call('TYPE', list)['ok']
if found ~= 'list' and found ~= 'none' then return {'WRONGTYPE', list} end
local count = 0
for i = 5, #ARGV do count = count + tonumber(redis.call('HGET', run, ARGV[i]) or '0') end
if redis.call('LLEN', going) < count then return {'MISSING'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
if redis.call('EXISTS', going) == 1 then
  local messages, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
  while messages > 0 and bytes > 0 do
    local message = redis.call('RPOP', list)
    if not message then break end
    redis.call('LPUSH', going, message)
    messages, bytes = messages - 1, bytes - #message
  end
  if redis.call('RENAMENX', going, list) == 0 then return {'OK'} end
end
redis.call('HDEL', run, ARGV[2])
redis.call('HINCRBY', run, 'unsorted', -1)
return {'OK'}
