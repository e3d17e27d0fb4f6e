-- Three values of a query (rules/README.md, Conditions): true, false, unknown where spans may have been lost, where a parent has
-- not arrived, where a pattern's answer is unknown. A span of these traces is called by the filter that it satisfies.
local traces = require("spec.lua.traces")

local A, B, C = "{.a}", "{.b}", "{.c}"

-- a ─ b ─ c, and b beside; `orphaned` is without its a.
local WHOLE = { { A, 0 }, { B, 1, parent = 0 }, { C, 2, parent = 1 }, { B, 3, parent = 0 } }
local ORPHANED = { { B, 1, orphan = true }, { C, 2, parent = 0 } }

-- Lines of: query => whole, cut, still open, orphaned, with an unknown answer about {.b}
local function judge(text)
  for line in text:gmatch("[^\n]+") do
    local query, wanted = line:match("^%s*(.-)%s+=>%s*(.-)%s*$")
    if query then
      local condition = query:sub(1, 4) == "not " and -traces.trace.ql(query:sub(5)) or traces.trace.ql(query)
      local said = {}
      for i, case in ipairs { { WHOLE }, { WHOLE, cut = true }, { WHOLE, closing = false }, { ORPHANED }, { WHOLE, unknown = { [B] = 1 } } } do
        said[i] = tostring(traces.truth(condition, case[1], case))
      end
      assert.equal(wanted, table.concat(said, " "), query)
    end
  end
end

describe("a query is true, false or unknown", function()
  it("by what is there, where more spans cannot undo it", function()
    judge [[
      {.a}                                => true true true false true
      {.a} >> {.c}                        => true true true false true
      {.c} >> {.a}                        => false false false false false
      {.a} && {.b}                        => true true true false true
      {.b} | count() > 1                  => true true true false true
      {.b} | count() > 2                  => false false false false false
      {.a} &> {.b}                        => true true true false true
    ]]
  end)

  it("unknown where what is absent may have been lost or is not certain", function()
    judge [[
      {.c} !> {.a}                        => true unknown unknown false true
      {.a} !> {.b}                        => false false false unknown false
      {.a} !>> {.c}                       => false false false unknown false
      {.c} !>> {.b}                       => true unknown unknown unknown true
      {.b} !> {.a}                        => true unknown unknown false unknown
      {.b} | count() < 9                  => true unknown unknown true unknown
      {.b} | count() < 2                  => false false false true false
      {.b} | count() = 2                  => true unknown unknown false unknown
      {.b} | count() = 1                  => false false false true false
      {.b} | count() != 1                 => true true true false true
      {.b} | count() != 3                 => true unknown unknown true unknown
      {.a} >> {.c} | count() < 9          => true unknown unknown false true
    ]]
  end)

  it("and the other way round where it is denied", function()
    judge [[
      not {.a}                            => false false false true false
      not {.d}                            => true unknown unknown true true
      not {.c} >> {.a}                    => true unknown unknown true true
      not {.a} >> {.c}                    => false false false unknown false
      not {.b} | count() > 2              => true unknown unknown true unknown
      not {.b} | count() > 1              => false false false true false
      not {.c} !> {.a}                    => false unknown unknown true false
    ]]
  end)
end)
