-- Lists the fields of a hash that have been in its index for longest, if the hash has them.
-- KEYS: the index, a sorted set; the hash
-- ARGV: members of the index looked at at most; bytes of them at most; the longest that is returned, in bytes
-- Returns: how many fields the hash has; then, the oldest first, each field, its score, and the size of its value
local index, hash, most, bytes, longest = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('TYPE', hash)['ok'] ~= 'hash' then return {0} end
local answer = {redis.call('HLEN', hash)}
if redis.call('TYPE', index)['ok'] ~= 'zset' then return answer end
local rank, step = 0, 20
while rank < most and bytes > 0 do
  -- By ranks from the end: ZREVRANGE is what the ACL grants.
  local found = redis.call('ZREVRANGE', index, -rank - step, -rank - 1, 'WITHSCORES')
  for i = #found - 1, 1, -2 do
    local field = found[i]
    bytes = bytes - #field
    local size = #field <= longest and redis.call('HSTRLEN', hash, field) or 0
    if size > 0 then
      answer[#answer + 1] = field
      answer[#answer + 1] = found[i + 1]
      answer[#answer + 1] = size
    end
  end
  if #found < 2 * step then break end
  rank = rank + step
end
return answer
