-- Put what a request used in the place of what its lease reserved, once. See redis.py for the keys.
--
-- KEYS  1 leases, 2 this lease, then the keys of its token limits, of its concurrency limits, and two per budget (settled, held)
-- ARGV  1 now ('' for this server's clock), 2 lease, 3 tokens used, 4 cost, 5 number of token limits, 6 of concurrency limits,
--       7 of budgets, 8 seconds a settled lease is remembered, then the window of each token limit

local SLICES, SLOTS = 12, 13

local function text(number)
  return string.format('%.0f', number)
end

local stored = redis.call('GET', KEYS[2])
if stored == 'settled' then return 0 end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local token_limits, concurrency_limits, budgets = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

-- A lease that is not known here was taken before this server lost its data, or elsewhere while it was away: it booked nothing.
local grant, reserved_at = 0, {}
if stored then
  local lease = cmsgpack.unpack(stored)
  grant, reserved_at = lease[1], lease[4]
  if lease[5] == 1 then
    for _, held in ipairs(lease[3]) do
      if lease[2] ~= '0' and redis.call('EXISTS', held) == 1 then
        redis.call('DECRBY', held, lease[2])
      end
    end
  end
end
redis.call('ZREM', KEYS[1], ARGV[2])
for i = 1, concurrency_limits do
  redis.call('ZREM', KEYS[2 + token_limits + i], ARGV[2])
end

for i = 1, budgets do
  local settled = KEYS[2 + token_limits + concurrency_limits + 2 * i - 1]
  -- A budget that is not known will be seeded from the ledger, which has this cost too.
  if ARGV[4] ~= '0' and redis.call('EXISTS', settled) == 1 then
    redis.call('INCRBY', settled, ARGV[4])
  end
end

local over = tonumber(ARGV[3]) - grant
if over ~= 0 then
  for i = 1, token_limits do
    local key, window = KEYS[2 + i], tonumber(ARGV[8 + i])
    local present = math.floor(now * SLICES / window)
    if over > 0 then
      redis.call('HINCRBY', key, text(present), text(over))
      local milliseconds = math.ceil((window * (SLOTS + 1) / SLICES + 1) * 1000)
      if redis.call('PTTL', key) < milliseconds then redis.call('PEXPIRE', key, milliseconds) end
    else
      local slice = reserved_at[i]
      if slice and present - slice < SLOTS and redis.call('HEXISTS', key, text(slice)) == 1 then
        redis.call('HINCRBY', key, text(slice), text(over))
      end
    end
  end
end
redis.call('SET', KEYS[2], 'settled', 'PX', math.ceil(tonumber(ARGV[8]) * 1000))
return 1
