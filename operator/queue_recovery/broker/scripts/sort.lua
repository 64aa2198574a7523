-- Sorts the next messages of a taken list, from its head on: what is kept goes to a list of its own, the rest
-- to the other end of the same list. After as many messages as were taken, both are complete and in their order.
-- KEYS: the run, the quarantine's list, the list of what is kept
-- ARGV: UID; the run's fields that count the list's messages not sorted yet, those that stay, those that are kept, and
--       those that are kept because they are too large to be read; how many are not sorted yet; for each message, in one
--       word of at most 100 letters, 1 if it stays in the quarantine, 0 if it is kept, 2 if another message is kept in its
--       place, 3 if it is kept because it is too large; number of those other messages, and they themselves; then the run's
--       fields of the kept ones' task ids
-- Returns: OK and how many are not sorted yet (also when another number of them was: nothing is done then) | LOST | CLOSED
local run, list, kept = unpack(KEYS)
local uid, state, rest = unpack(redis.call('HMGET', run, 'uid', 'state', ARGV[2]))
if uid ~= ARGV[1] then return {'LOST'} end
rest = tonumber(rest or '0')
if rest ~= tonumber(ARGV[6]) then return {'OK', tostring(rest)} end
if state ~= 'purged' then return {'CLOSED'} end
local stays = ARGV[7]
if #stays > rest or redis.call('LLEN', list) < rest then return {'LOST'} end

redis.call('HDEL', run, '') -- a full server then takes the rest too
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
    redis.call('RPUSH', kept, message)
    count = count + 1
  end
end
for i = 9 + tonumber(ARGV[8]), #ARGV do redis.call('HSET', run, ARGV[i], '1') end
redis.call('HINCRBY', run, ARGV[3], 0 - count) -- `-count` of 0 is "-0", which Redis takes for no integer
redis.call('HINCRBY', run, ARGV[4], count)
if large > 0 then redis.call('HINCRBY', run, ARGV[5], large) end
rest = redis.call('HINCRBY', run, ARGV[2], -#stays)
return {'OK', tostring(rest)}
