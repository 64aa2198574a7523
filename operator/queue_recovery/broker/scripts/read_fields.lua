-- Reads the values of some fields of a hash, as many as fit into one reply; of a large one only its end.
-- KEYS: the hash
-- ARGV: the largest value that is returned whole, in bytes; bytes of an end; after how many bytes no further value is
--       read; then the fields
-- Returns: for each field, in their order, the size of its value and what is shown of it, or nothing if it is not there
local hash, largest, ending, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local answer, bytes = {}, 0
for i = 4, #ARGV do
  if bytes >= most then break end
  local shown = redis.call('HGET', hash, ARGV[i])
  local size = shown and #shown or 0
  if size > largest then shown = shown:sub(-ending) end
  answer[#answer + 1] = size
  answer[#answer + 1] = shown
  bytes = bytes + size
end
return answer
