-- Reads the next entries of a hash by HSCAN; of a large one only its end, and nothing of those that do not fit into one
-- reply: they are asked for by their fields.
-- KEYS: the hash
-- ARGV: cursor; COUNT; the largest value that is returned whole, in bytes; bytes of an end; after how many bytes no further
--       value is returned; the longest field that is returned, in bytes
-- Returns: the next cursor; then, for each entry, its field, or nothing for one that is too long, the size of its value, and
--          what is shown of it, or nothing
local largest, ending, most, longest = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local answer, bytes = {found[1]}, 0
for i = 1, #found[2], 2 do
  local field, value = found[2][i], found[2][i + 1]
  local shown = value
  if #value > largest then shown = value:sub(-ending) end
  if #field > longest then
    field, shown = false, ''
  elseif bytes >= most then
    shown = false
  else
    bytes = bytes + #shown
  end
  answer[#answer + 1] = field
  answer[#answer + 1] = #value
  answer[#answer + 1] = shown
end
return answer
