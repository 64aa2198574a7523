-- Acquires queues' locks and creates their runs in state `preparing`: all of them, or none.
-- KEYS: for each queue, its lock and its run
-- ARGV: name of the recovery, identity and UID of its cluster (or nothing, if it is not known), and for how many
--       seconds its quarantine is retained; then, for each queue, the run's UID, the key of the queue's bare list, and
--       the UID of the earlier run whose quarantine it restores, or nothing: while the lock is held, retention leaves
--       that quarantine alone
-- Returns: OK (also if all are open already) | CLOSED | LOST (lock without run)
--          | LOCKED, then, for each lock of another run, its number from 1 and the UID of that run
local locked, states = {'LOCKED'}, {}
for i = 1, #KEYS, 2 do
  local holder, uid = redis.call('GET', KEYS[i]), ARGV[5 + (i - 1) / 2 * 3]
  states[i] = redis.call('HGET', KEYS[i + 1], 'state')
  if states[i] == 'closing' or states[i] == 'closed' then return {'CLOSED'} end
  if holder and holder ~= uid then
    locked[#locked + 1] = tostring((i + 1) / 2)
    locked[#locked + 1] = holder:sub(1, 1024) -- any client may have written it
  elseif holder and not states[i] then
    return {'LOST'}
  end
end
if #locked > 1 then return locked end

redis.call('HDEL', KEYS[2], '') -- a full server refuses all but a script whose first write can free memory
for i = 1, #KEYS, 2 do
  local lock, run, first = KEYS[i], KEYS[i + 1], 5 + (i - 1) / 2 * 3
  local uid, list, from = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  redis.call('SET', lock, uid)
  if not states[i] then
    redis.call('HSET', run, 'uid', uid, 'name', ARGV[1], 'cluster', ARGV[2], 'retention', ARGV[4], 'list', list)
    if ARGV[3] ~= '' then redis.call('HSET', run, 'cluster_uid', ARGV[3]) end
    if from ~= '' then redis.call('HSET', run, 'from', from) end
    redis.call('HSET', run, 'state', 'preparing')
  end
end
return {'OK'}
