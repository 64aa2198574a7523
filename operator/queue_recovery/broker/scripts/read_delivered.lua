-- Lists the fields of a hash by their index, those of the highest score first, if the hash has them; some of them per call.
-- KEYS: the index, a sorted set; the hash
-- ARGV: how many members of the lowest scores are to be looked at still, or nothing for all; members looked at at most; the
--       longest that is returned, in bytes
-- Returns: how many members are left to be looked at; then, for each, its field, its score as text, and the size of its value
local index, hash, longest = KEYS[1], KEYS[2], tonumber(ARGV[3])
if redis.call('TYPE', hash)['ok'] ~= 'hash' or redis.call('TYPE', index)['ok'] ~= 'zset' then return {0} end
-- By ranks from the end: ZREVRANGE is what the ACL grants, and a delivery meanwhile moves none of them.
local function has(rank) return #redis.call('ZREVRANGE', index, -rank, -rank) > 0 end
local rest = tonumber(ARGV[1])
if not rest then
  local step = 1
  while has(step) do step = 2 * step end
  rest = 0
  while step >= 1 do
    if has(rest + step) then rest = rest + step end
    step = step / 2
  end
end
local most = math.min(rest, tonumber(ARGV[2]))
local answer = {rest - most}
if most == 0 then return answer end
local found = redis.call('ZREVRANGE', index, -rest, most - rest - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local size = #found[i] <= longest and redis.call('HSTRLEN', hash, found[i]) or 0
  if size > 0 then
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = found[i + 1]
    answer[#answer + 1] = size
  end
end
return answer
