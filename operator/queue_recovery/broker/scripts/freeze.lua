-- Stores what each job looked like when nothing ran; the first value stays.
-- KEYS: the run
-- ARGV: UID; then, for each job, its field in the run and its value
-- Returns: OK and the stored value of each job, in their order | LOST | CLOSED
local run = KEYS[1]
local uid, state = unpack(redis.call('HMGET', run, 'uid', 'state'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end

redis.call('HDEL', run, '') -- a full server then accepts the rest too
local answer = {'OK'}
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', run, ARGV[i]) == 0 then redis.call('HSET', run, ARGV[i], ARGV[i + 1]) end
  answer[#answer + 1] = redis.call('HGET', run, ARGV[i])
end
return answer
