-- Admit one ask over all of its limits and budgets, or refuse it and take nothing. See redis.py for the keys.
--
-- KEYS  1 leases (ZSET lease -> expiry), 2 this lease, then one key per limit, then two per budget (settled, held)
-- ARGV  1 now ('' for this server's clock), 2 lease, 3 its seconds, 4 tokens, 5 minimum tokens, 6 cost, 7 cost per token,
--       8 number of limits, 9 number of budgets, 10 prefix of lease keys, 11 seconds a lease is remembered after its expiry,
--       then metric, amount, window per limit, then amount, hard, end per budget
--
-- Lua's numbers are doubles, exact to 2^53 (9,007 USD in picodollars). Amounts of money are therefore stored by INCRBY, which
-- is exact to 2^63, and compared in two parts of base 10^9; what one request costs has to stay below 2^53.

local SLICES, SLOTS = 12, 13
local IN_FLIGHT, MARGIN = 1, 0.001

local function text(number)
  return string.format('%.0f', number)
end

local function parts(digits)
  local sign = 1
  if string.sub(digits, 1, 1) == '-' then
    sign = -1
    digits = string.sub(digits, 2)
  end
  local low = tonumber(string.sub(digits, -9))
  local high = #digits > 9 and tonumber(string.sub(digits, 1, -10)) or 0
  return sign * high, sign * low
end

-- amount - a - b - c. The sign is always right, and the value is exact below 2^53.
local function difference(amount, a, b, c)
  local high, low = parts(amount)
  for _, other in ipairs({a, b, c}) do
    local other_high, other_low = parts(other)
    high, low = high - other_high, low - other_low
  end
  return high * 1e9 + low
end

local function keep(key, seconds)
  local milliseconds = math.ceil(seconds * 1000)
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, milliseconds)
  end
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local name, lease_seconds = ARGV[2], tonumber(ARGV[3])
local tokens, minimum = tonumber(ARGV[4]), tonumber(ARGV[5])
local cost, token_cost = tonumber(ARGV[6]), tonumber(ARGV[7])
local limits, budgets = tonumber(ARGV[8]), tonumber(ARGV[9])
local remember = tonumber(ARGV[11])

-- Leases that nobody settled give back their holds. Bounded: what is left over is released by the next asks.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] ~= '' and ARGV[1] or string.format('%.6f', now), 'LIMIT', 0, 500)
for _, other in ipairs(due) do
  local key = ARGV[10] .. other
  local stored = redis.call('GET', key)
  if stored and stored ~= 'settled' then
    local lease = cmsgpack.unpack(stored)
    if lease[5] == 1 then
      for _, held in ipairs(lease[3]) do
        if lease[2] ~= '0' and redis.call('EXISTS', held) == 1 then
          redis.call('DECRBY', held, lease[2])
        end
      end
      lease[5] = 0
      redis.call('SET', key, cmsgpack.pack(lease), 'KEEPTTL')
    end
  end
  redis.call('ZREM', KEYS[1], other)
end

local missing = {}
local accounts = {}
for i = 1, budgets do
  local key = 2 + limits + 2 * i - 1
  local pair = redis.call('MGET', KEYS[key], KEYS[key + 1])
  if not pair[1] then
    missing[#missing + 1] = i
  end
  local at = 11 + 3 * limits + 3 * (i - 1)
  accounts[i] = {
    settled_key = KEYS[key], held_key = KEYS[key + 1], settled = pair[1], held = pair[2] or '0',
    amount = ARGV[at + 1], hard = ARGV[at + 2] == '1', ends_at = tonumber(ARGV[at + 3]),
  }
end
if #missing > 0 then
  return {'unseeded', unpack(missing)}
end

-- First look, taking nothing.
local grant, fits = tokens, true
local counters = {}
for i = 1, limits do
  local at = 11 + 3 * (i - 1)
  local counter = {key = KEYS[2 + i], metric = ARGV[at + 1], amount = tonumber(ARGV[at + 2]), window = tonumber(ARGV[at + 3])}
  counters[i] = counter
  if counter.metric == 'concurrency' then
    redis.call('ZREMRANGEBYSCORE', counter.key, '-inf', string.format('%.6f', now))
    counter.total = redis.call('ZCARD', counter.key)
    if counter.total >= counter.amount then fits = false end
  else
    local per_second = SLICES / counter.window
    local present, total, slices, gone = math.floor(now * per_second), 0, {}, {}
    local stored = redis.call('HGETALL', counter.key)
    for j = 1, #stored, 2 do
      present = math.max(present, tonumber(stored[j]))
    end
    for j = 1, #stored, 2 do
      local number, amount = tonumber(stored[j]), tonumber(stored[j + 1])
      if present - number >= SLOTS then
        gone[#gone + 1] = stored[j]
      else
        total = total + amount
        slices[number] = amount
      end
    end
    if #gone > 0 then redis.call('HDEL', counter.key, unpack(gone)) end
    counter.present, counter.total, counter.slices, counter.per_second = present, total, slices, per_second
    local left = counter.amount - total
    if counter.metric == 'requests' then
      if left < 1 then fits = false end
    elseif left < grant then
      grant = math.max(left, 0)
    end
  end
end

local hold, hold_text = cost, ARGV[6]
if grant < tokens then
  if grant < minimum then fits = false end
  hold = hold - (tokens - grant) * token_cost
  hold_text = text(hold)
end
for i = 1, budgets do
  local account = accounts[i]
  if account.hard and hold > 0 then
    local short = -difference(account.amount, account.settled, account.held, hold_text)
    if short > 0 then
      local cut = -1
      short = math.min(short, hold) -- an overspent budget has nothing left, not less
      if token_cost > 0 then
        cut = math.ceil(short / token_cost)
        while cut * token_cost < short do cut = cut + 1 end
      end
      if cut < 0 or grant - cut < minimum then
        fits = false
        break
      end
      grant = grant - cut
      hold = hold - cut * token_cost
      hold_text = text(hold)
    end
  end
end

local stored = redis.call('GET', KEYS[2])
if stored == 'settled' then
  return {'settled'} -- heard late: whoever asked gave up, and gave back what it did not know to have
end
local again = false
if stored then
  local lease = cmsgpack.unpack(stored)
  if lease[5] == 1 then
    again = true
    grant = lease[1]
  end
end

if not fits and not again then
  local index, wait, spare, too_large = 0, -1, '0', 0
  local function refuse(i, seconds, left, never)
    if never > too_large or (never == too_large and seconds > wait) then
      index, wait, spare, too_large = i, seconds, text(math.max(left, 0)), never
    end
  end
  local least = math.min(minimum, tokens)
  for i = 1, limits do
    local counter = counters[i]
    local left = counter.amount - counter.total
    if counter.metric == 'concurrency' then
      if left < 1 then
        local seconds = IN_FLIGHT
        local first = redis.call('ZRANGE', counter.key, 0, 0, 'WITHSCORES')
        if first[2] then seconds = math.min(seconds, tonumber(first[2]) - now) end
        refuse(i, math.max(seconds, MARGIN), left, counter.amount < 1 and 1 or 0)
      end
    else
      local need = counter.metric == 'requests' and 1 or least
      if left < need and need > 0 then
        local seconds = counter.window
        if need <= counter.amount then
          local total = counter.total
          for number = counter.present - SLICES, counter.present do
            total = total - (counter.slices[number] or 0)
            if total <= counter.amount - need then
              seconds = math.max((number + SLOTS) / counter.per_second - now, 0) + MARGIN
              break
            end
          end
        end
        refuse(i, seconds, left, need > counter.amount and 1 or 0)
      end
    end
  end
  local smallest = text(cost - (tokens - least) * token_cost)
  for i = 1, budgets do
    local account = accounts[i]
    local left = difference(account.amount, account.settled, account.held)
    if account.hard and tonumber(smallest) > 0 and left < tonumber(smallest) then
      local seconds = math.max(account.ends_at - now, 0)
      if difference(account.amount, account.settled, smallest) >= 0 then
        seconds = math.min(seconds, IN_FLIGHT)
      end
      refuse(limits + i, seconds, left, difference(account.amount, smallest, '0') < 0 and 1 or 0)
    end
  end
  return {'denied', index, string.format('%.6f', wait), spare, too_large}
end

-- Then take all of it.
if hold < 0 then hold_text = '0' end
local expires_at = string.format('%.6f', now + lease_seconds)
local reply, reserved_at, held_keys = {'admitted', grant}, {}, {}
for i = 1, limits do
  local counter = counters[i]
  local left, reset_after = 0, 0
  if counter.metric == 'concurrency' then
    if not again then
      redis.call('ZADD', counter.key, expires_at, name)
      keep(counter.key, lease_seconds + 60)
      counter.total = counter.total + 1
    end
  else
    local amount = counter.metric == 'tokens' and grant or 1
    if counter.metric == 'tokens' then reserved_at[#reserved_at + 1] = counter.present end
    if not again then
      if amount > 0 then
        redis.call('HINCRBY', counter.key, text(counter.present), text(amount))
        keep(counter.key, counter.window * (SLOTS + 1) / SLICES + 1)
      end
      counter.total = counter.total + amount
    end
    reset_after = (counter.present + SLOTS) / counter.per_second - now
  end
  reply[#reply + 1] = text(math.max(counter.amount - counter.total, 0))
  reply[#reply + 1] = string.format('%.6f', reset_after)
end
if again then return reply end
for i = 1, budgets do
  local account = accounts[i]
  held_keys[i] = account.held_key
  redis.call('INCRBY', account.held_key, hold_text)
  keep(account.held_key, lease_seconds + remember)
  keep(account.settled_key, math.max(account.ends_at - now, 0) + remember)
end
redis.call('ZADD', KEYS[1], expires_at, name)
keep(KEYS[1], lease_seconds + remember)
redis.call('SET', KEYS[2], cmsgpack.pack({grant, hold_text, held_keys, reserved_at, 1}), 'PX', math.ceil((lease_seconds + remember) * 1000))
return reply
