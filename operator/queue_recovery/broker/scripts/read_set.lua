-- Reads the next members of a set by SSCAN, without those that are too long.
-- KEYS: none, for the server's ACL may grant no more than to read the set
-- ARGV: cursor; COUNT; the longest member that is returned, in bytes; the set
-- Returns: the next cursor, then the members
local found, longest = redis.call('SSCAN', ARGV[4], ARGV[1], 'COUNT', ARGV[2]), tonumber(ARGV[3])
local answer = {found[1]}
for _, member in ipairs(found[2]) do
  if #member <= longest then answer[#answer + 1] = member end
end
return answer
