-- Sorts the next messages of a taken list, from its head: what goes back is moved to a list of its own, what stays is
-- rotated to the other end of the same list. After as many messages as were taken, both are complete and in order.
-- KEYS: the run, the quarantine's list, the list of messages that go back
-- ARGV: UID; the run's fields that count the list's unsorted messages, those that stay, those that go back, and those that
--       go back because they are too large to be read; the number of unsorted messages; for each message, in one word of
--       at most 100 letters, 1 if it stays in the quarantine, 0 if it goes back, 2 if another message goes back in its
--       place, 3 if it goes back because it is too large; the number of those other messages, and they themselves; then
--       the run's fields of the task ids of those that go back
-- Returns: OK and the number of unsorted messages (nothing is done if another number of them was given) | LOST | CLOSED
--          | MISSING (the list has fewer messages than it was given)
local run, list, going = unpack(KEYS)
local uid, state, rest, taken = unpack(redis.call('HMGET', run, 'uid', 'state', ARGV[2], ARGV[3]))
if uid ~= ARGV[1] then return {'LOST'} end
rest = tonumber(rest or '0')
if rest ~= tonumber(ARGV[6]) then return {'OK', tostring(rest)} end
if state ~= 'purged' then return {'CLOSED'} end
local stays = ARGV[7]
if #stays > rest then return {'LOST'} end
if redis.call('LLEN', list) < math.max(rest, tonumber(taken or '0')) then return {'MISSING'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
local count, large, instead = 0, 0, 8
for i = 1, #stays do
  local message = redis.call('LPOP', list)
  if stays:sub(i, i) == '1' then
    redis.call('RPUSH', list, message)
  else
    if stays:sub(i, i) == '2' then
      instead = instead + 1
      message = ARGV[instead]
    end
    if stays:sub(i, i) == '3' then large = large + 1 end
    redis.call('RPUSH', going, message)
    count = count + 1
  end
end
for i = 9 + tonumber(ARGV[8]), #ARGV do redis.call('HSET', run, ARGV[i], '1') end
redis.call('HINCRBY', run, ARGV[3], 0 - count) -- `-count` of 0 is "-0", which Redis does not accept as an integer
redis.call('HINCRBY', run, ARGV[4], count)
if large > 0 then redis.call('HINCRBY', run, ARGV[5], large) end
rest = redis.call('HINCRBY', run, ARGV[2], -#stays)
return {'OK', tostring(rest)}
