-- Records how much of an earlier run's quarantine is to be sorted, and marks the restoring run as purged: from here on the
-- lists are sorted and what is restored is returned, as what a selection leaves.
-- KEYS: the run, the earlier run; then lists of the quarantine, then its hashes
-- ARGV: UID; number of lists; for each list, the run's fields that count its unsorted messages, and those that stay;
--       for each hash, the run's field that counts it
-- Returns: OK (also if it is done already) | LOST | CLOSED
local run, earlier, lists = KEYS[1], KEYS[2], tonumber(ARGV[2])
local uid, state, from = unpack(redis.call('HMGET', run, 'uid', 'state', 'from'))
if uid ~= ARGV[1] or not from or earlier:sub(-#from) ~= from then return {'LOST'} end
if state == 'purged' then return {'OK'} end
if state ~= 'preparing' then return {'CLOSED'} end
if redis.call('HGET', earlier, 'state') ~= 'closed' then return {'LOST'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
for i = 1, lists do
  local length = redis.call('LLEN', KEYS[2 + i])
  redis.call('HSET', run, ARGV[1 + 2 * i], length, ARGV[2 + 2 * i], length)
end
for i = lists + 1, #KEYS - 2 do
  redis.call('HSET', run, ARGV[2 + lists + i], redis.call('HLEN', KEYS[2 + i]))
end
redis.call('HSET', run, 'unsorted', lists, 'attempt', 1, 'state', 'purged')
return {'OK'}
