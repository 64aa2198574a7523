-- Enqueues each job that has no marker yet, and marks it.
-- KEYS: the run, the queue's bare list
-- ARGV: UID; then, for each job, its marker's field in the run, its task id and its message; at most 500 jobs
-- Returns: OK (also for jobs that were enqueued already) | LOST | CLOSED | UNPURGED | WRONGTYPE, key
local run, list = KEYS[1], KEYS[2]
local uid, state = unpack(redis.call('HMGET', run, 'uid', 'state'))
if uid ~= ARGV[1] then return {'LOST'} end
if state == 'preparing' then return {'UNPURGED'} end
if state ~= 'purged' then return {'CLOSED'} end
local found = redis.call('TYPE', list)['ok']
if found ~= 'list' and found ~= 'none' then return {'WRONGTYPE', list} end

-- The first write needs memory on purpose: a full server refuses the whole batch, as it refuses any producer.
for i = 2, #ARGV, 3 do
  if redis.call('HEXISTS', run, ARGV[i]) == 0 then
    redis.call('LPUSH', list, ARGV[i + 2])
    redis.call('HSET', run, 'pushed', '1', ARGV[i], ARGV[i + 1])
  end
end
return {'OK'}
