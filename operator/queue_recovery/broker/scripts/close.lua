-- Closes a run: from here on nothing is taken or pushed for it. Without a run, writes the record of a closed one.
-- KEYS: the run, the quarantine's hash of the first attempt
-- ARGV: UID, name and cluster of the recovery; key of the queue's bare list; the run's field that counts the hash;
--       1 if the entries were given back to unacked, else 0
-- Returns: CLOSING (entries must be given back first) | RETURNING (messages of lists that are left must be returned first)
--          | CLOSED, 1 if the boundary was passed, else 0
local run, entries = KEYS[1], KEYS[2]
local uid, state, purged, unsorted = unpack(redis.call('HMGET', run, 'uid', 'state', 'was_purged', 'unsorted'))
if state == 'closed' then return {'CLOSED', purged} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
if state == 'purged' and tonumber(unsorted or '0') > 0 then
  -- What is left may still be returned, but no entry of `unacked` is taken any more: workers are about to start.
  redis.call('HSET', run, 'complete', redis.call('HGET', run, 'attempt'))
  return {'RETURNING'}
end
if state == 'purged' then
  redis.call('HSET', run, 'was_purged', '1', 'state', 'closed')
  return {'CLOSED', '1'}
end
if state == 'preparing' and redis.call('EXISTS', entries) == 1 then
  redis.call('HSET', run, 'state', 'closing')
  state = 'closing'
end
if state == 'closing' then
  if ARGV[6] ~= '1' then return {'CLOSING'} end
  -- An entry that could not be given back, because its delivery tag is in use, stays in the quarantine.
  redis.call('HSET', run, ARGV[5], redis.call('HLEN', entries))
end
redis.call('HSET', run, 'uid', ARGV[1], 'name', ARGV[2], 'cluster', ARGV[3], 'list', ARGV[4])
redis.call('HSET', run, 'was_purged', '0', 'state', 'closed')
return {'CLOSED', '0'}
