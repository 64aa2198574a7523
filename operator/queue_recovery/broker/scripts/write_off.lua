-- Writes off what the broker has lost of a list that is sorted, so that the run can be closed: from here on the run counts
-- the messages that are there, and how many are lost.
-- KEYS: the run, the quarantine's list, the list of messages that go back
-- ARGV: UID; the run's fields that count the list's unsorted messages, and those that stay; then those that count what
--       goes back
-- Returns: OK (also if nothing is missing, and if all is back already) | LOST | CLOSED | OPEN (the run is not being closed)
local run, list, going = unpack(KEYS)
local uid, state, attempt, complete, rest, taken =
  unpack(redis.call('HMGET', run, 'uid', 'state', 'attempt', 'complete', ARGV[2], ARGV[3]))
if uid ~= ARGV[1] then return {'LOST'} end
if not rest then return {'OK'} end
if state ~= 'purged' then return {'CLOSED'} end
if complete ~= attempt then return {'OPEN'} end
local there, back = redis.call('LLEN', list), redis.call('LLEN', going)

redis.call('HDEL', run, '') -- a full server then accepts the rest too
rest, taken = tonumber(rest), tonumber(taken or '0')
local lost = math.max(0, taken - there)
redis.call('HSET', run, ARGV[2], math.min(rest, there), ARGV[3], taken - lost)
for i = 4, #ARGV do
  local count = tonumber(redis.call('HGET', run, ARGV[i]) or '0')
  local found = math.min(count, back)
  if found < count then redis.call('HSET', run, ARGV[i], found) end
  back, lost = back - found, lost + count - found
end
if lost > 0 then redis.call('HINCRBY', run, 'lost', lost) end
return {'OK'}
