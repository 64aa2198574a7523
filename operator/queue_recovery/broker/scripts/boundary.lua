-- Takes every list of a queue at one moment, and marks the run as purged.
-- KEYS: the run; then, for each list, its key and the key that it gets in the quarantine
-- ARGV: UID; number of the purge attempt, from 1; undecodable entries in unacked; entries of the queue that are left there, or
--       nothing if all of the queue is taken; the run's field that counts those; how many of those are too large to be
--       read; the run's field that counts them; 1 if the lists are taken although none of their messages looks like one of
--       Celery's, else 0; then, for each list, the run's fields that count its messages, and those not sorted yet; then the
--       number of the run's fields of frozen jobs, and those fields; then its fields of the task ids of entries that
--       were left, and of all task ids whose messages are to be left
-- Returns: OK (also if this boundary was passed already) | LOST (also if one of the jobs' fields is) | CLOSED
--          | PUSHED | WRONGTYPE, key
--          | FOREIGN (nothing at the ends of the lists looks like a message of Celery)
--          | OCCUPIED (the quarantine has a key that a list would get)
--          | SKIPPED (the attempt before has not passed its boundary, or what it leaves is not back)
local run, attempt = KEYS[1], tonumber(ARGV[2])

local function shows_a_message(list)
  for _, place in ipairs({0, -1, 1, -2, 2, -3}) do
    local message = redis.call('LRANGE', list, place, place)[1]
    if message and message:find('"body"', 1, true) and message:find('"properties"', 1, true) then return true end
  end
end

local uid, state, passed, pushed, unsorted =
  unpack(redis.call('HMGET', run, 'uid', 'state', 'attempt', 'pushed', 'unsorted'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end
passed = tonumber(passed or '0')
if passed >= attempt then return {'OK'} end
if pushed then return {'PUSHED'} end
if passed ~= attempt - 1 or tonumber(unsorted or '0') > 0 then return {'SKIPPED'} end
local found_any, found_message = false, ARGV[8] == '1'
for i = 2, #KEYS, 2 do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'list' and found ~= 'none' then return {'WRONGTYPE', KEYS[i]} end
  if redis.call('EXISTS', KEYS[i + 1]) == 1 then return {'OCCUPIED'} end
  found_any = found_any or found == 'list'
  found_message = found_message or found == 'list' and shows_a_message(KEYS[i])
end
if found_any and not found_message then return {'FOREIGN'} end
local jobs = 8 + #KEYS
local rest = jobs + tonumber(ARGV[jobs]) + 1
for i = jobs + 1, rest - 1 do
  if redis.call('HEXISTS', run, ARGV[i]) == 0 then return {'LOST'} end
end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
for i = 2, #KEYS, 2 do
  local length = redis.call('LLEN', KEYS[i])
  if length > 0 then
    redis.call('RENAMENX', KEYS[i], KEYS[i + 1])
    -- A queue with `x-expires` has a TTL, which is renamed with its key.
    redis.call('PERSIST', KEYS[i + 1])
    redis.call('HSET', run, ARGV[7 + i], length)
    if ARGV[4] ~= '' then
      redis.call('HSET', run, ARGV[8 + i], length)
      redis.call('HINCRBY', run, 'unsorted', 1)
    end
  end
end
if ARGV[4] ~= '' then redis.call('HSET', run, ARGV[5], ARGV[4], ARGV[7], ARGV[6]) end
for i = rest, #ARGV do redis.call('HSET', run, ARGV[i], '1') end
redis.call('HSET', run, 'undecodable', ARGV[3], 'attempt', attempt, 'state', 'purged')
return {'OK'}
