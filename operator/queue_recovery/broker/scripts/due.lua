-- Returns the first runs of an index that are due, and removes members that cannot be the UID of a run.
-- KEYS: the cluster's index of runs
-- ARGV: the time, in seconds since the epoch; the most members; the longest UID of a run, in bytes
-- Returns: OK, then UIDs | AGAIN (all of the first members were removed)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[2])
local answer = {'OK'}
for _, uid in ipairs(due) do
  if #uid > tonumber(ARGV[3]) then redis.call('ZREM', KEYS[1], uid) else answer[#answer + 1] = uid end
end
if #due > 0 and #answer == 1 then return {'AGAIN'} end
return answer
