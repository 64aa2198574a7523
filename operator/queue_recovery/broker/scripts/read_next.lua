-- Reads the messages of lists that are consumed next, as many as fit into one reply; of a large one only its end.
-- KEYS: none, for the server's ACL may grant no more than to read the lists
-- ARGV: how many messages of each list; the largest message that is returned whole, in bytes; bytes of an end; after how
--       many bytes no further list is read; then the lists
-- Returns: for each list, in their order, how many messages follow, or 0 if it has none or is no list; and a filler. Then
--          for each message, the one that is consumed next first, its size and what is shown of it
local count, largest, ending, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local answer, bytes = {}, 0
for i = 5, #ARGV do
  if bytes >= most then break end
  local found = redis.pcall('LRANGE', ARGV[i], -count, -1)
  if found['err'] then found = {} end
  answer[#answer + 1] = #found
  answer[#answer + 1] = false
  for j = #found, 1, -1 do
    local size = #found[j]
    answer[#answer + 1] = size
    answer[#answer + 1] = size > largest and found[j]:sub(-ending) or found[j]
    bytes = bytes + size
  end
end
return answer
