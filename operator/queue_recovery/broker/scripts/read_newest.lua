-- Reads the newest message of each list, as many as fit into one reply; of a large one only its end.
-- KEYS: none, for the server's ACL may grant no more than to read the lists
-- ARGV: the largest message that is returned whole, in bytes; bytes of an end; after how many bytes no further message is
--       read; then the lists
-- Returns: for each list, in their order, the size of its message and what is shown of it, or nothing if it has none or is
--          no list
local largest, ending, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local answer, bytes = {}, 0
for i = 4, #ARGV do
  if bytes >= most then break end
  local found = redis.pcall('LRANGE', ARGV[i], 0, 0)
  local shown = not found['err'] and found[1] or false
  local size = shown and #shown or 0
  if size > largest then shown = shown:sub(-ending) end
  answer[#answer + 1] = size
  answer[#answer + 1] = shown
  bytes = bytes + size
end
return answer
