-- Reads the same fields of several hashes, and no value that is too long.
-- KEYS: the hashes
-- ARGV: the longest value that is returned, in bytes; then the fields
-- Returns: for each hash, for each field, its value, or nothing
local longest, answer = tonumber(ARGV[1]), {}
for _, hash in ipairs(KEYS) do
  for i = 2, #ARGV do
    local size = redis.call('HSTRLEN', hash, ARGV[i])
    answer[#answer + 1] = size > 0 and size <= longest and redis.call('HGET', hash, ARGV[i])
  end
end
return answer
