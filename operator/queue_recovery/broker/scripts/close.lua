-- Ends a run for good: nothing is taken or pushed for it from here on. Makes a tombstone if there is no run.
-- KEYS: the run, the quarantine's hash of the first sweep
-- ARGV: UID, name and cluster of the recovery; key of the queue's bare list; the run's field that counts the hash;
--       1 if the entries have been given back to unacked, else 0
-- Returns: CLOSING (entries have to be given back first) | KEEPING (kept messages of lists have to be given back first)
--          | CLOSED, 1 if the boundary had been passed, else 0
local run, entries = KEYS[1], KEYS[2]
local uid, state, purged, unsorted = unpack(redis.call('HMGET', run, 'uid', 'state', 'was_purged', 'unsorted'))
if state == 'closed' then return {'CLOSED', purged} end

redis.call('HDEL', run, '') -- a full server then takes the rest too
if state == 'purged' and tonumber(unsorted or '0') > 0 then
  -- What is kept may still come back, but nobody takes entries of `unacked` any more, which workers hold by right soon.
  redis.call('HSET', run, 'complete', redis.call('HGET', run, 'sweep'))
  return {'KEEPING'}
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
  -- What could not be given back, because its place was taken, stays in the quarantine.
  redis.call('HSET', run, ARGV[5], redis.call('HLEN', entries))
end
redis.call('HSET', run, 'uid', ARGV[1], 'name', ARGV[2], 'cluster', ARGV[3], 'list', ARGV[4])
redis.call('HSET', run, 'was_purged', '0', 'state', 'closed')
return {'CLOSED', '0'}
