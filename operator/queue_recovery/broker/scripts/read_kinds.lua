-- Reads what kind of value each key has, and how many parts.
-- KEYS: the keys
-- Returns: for each key that exists, its place among them, its type, and the length of a list or hash, or else 0
local lengths, answer = { list = 'LLEN', hash = 'HLEN' }, {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' then
    answer[#answer + 1] = i
    answer[#answer + 1] = kind
    answer[#answer + 1] = lengths[kind] and redis.call(lengths[kind], key) or 0
  end
end
return answer
