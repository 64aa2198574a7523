-- Stores what each job looked like when nothing ran; what was stored first stays.
-- KEYS: the run
-- ARGV: UID; then, for each job, its field in the run and what it looks like
-- Returns: OK and what is stored for each job, in their order | LOST | CLOSED
local run = KEYS[1]
local uid, state = unpack(redis.call('HMGET', run, 'uid', 'state'))
if uid ~= ARGV[1] then return {'LOST'} end
if state ~= 'preparing' and state ~= 'purged' then return {'CLOSED'} end

redis.call('HDEL', run, '') -- a full server then takes the rest too
local answer = {'OK'}
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', run, ARGV[i]) == 0 then redis.call('HSET', run, ARGV[i], ARGV[i + 1]) end
  answer[#answer + 1] = redis.call('HGET', run, ARGV[i])
end
return answer
