-- Lists the fields of a hash that have been in its index for longest, if the hash has them.
-- KEYS: the index, a sorted set; the hash
-- ARGV: the rank to begin at; the rank before which it ends; bytes of members at most; the longest that is returned, in
--   bytes
-- Returns: how many fields the hash has; MORE if the index goes on, else END; then, the oldest first, each field, its
--   score, and the size of its value
local index, hash, rank, most = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, longest, step = tonumber(ARGV[3]), tonumber(ARGV[4]), 20
if redis.call('TYPE', hash)['ok'] ~= 'hash' then return {0, 'END'} end
local answer = {redis.call('HLEN', hash), 'END'}
if redis.call('TYPE', index)['ok'] ~= 'zset' then return answer end
while rank < most and bytes > 0 do
  local last = math.min(rank + step, most)
  -- By ranks from the end: ZREVRANGE is what the ACL grants.
  local found = redis.call('ZREVRANGE', index, -last, -rank - 1, 'WITHSCORES')
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
  if #found < 2 * (last - rank) then return answer end
  rank = last
end
if bytes > 0 then answer[2] = 'MORE' end
return answer
