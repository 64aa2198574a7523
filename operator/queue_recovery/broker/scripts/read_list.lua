-- Reads messages of a list, as many as fit into one reply; of a large one only its end.
-- KEYS: the list
-- ARGV: the first and the last index, as of LRANGE; the largest message that is returned whole, in bytes; bytes of an end;
--       after how many bytes no further message is read
-- Returns: for each message, its size and what is shown of it
local list, first, last = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local largest, ending, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if first < 0 then
  local length = redis.call('LLEN', list)
  first, last = math.max(0, length + first), length + last
end
local answer, bytes, step = {}, 0, 1
while first <= last and bytes < most do
  -- A few at once: each read seeks its place in the list, and each message is copied.
  local messages = redis.call('LRANGE', list, first, math.min(first + step - 1, last))
  if #messages == 0 then break end
  for _, message in ipairs(messages) do
    if bytes >= most then break end
    local shown = message
    if #message > largest then shown = message:sub(-ending) end
    answer[#answer + 1] = #message
    answer[#answer + 1] = shown
    bytes = bytes + #message
  end
  first, step = first + #messages, math.min(2 * step, 10)
end
return answer
