-- Bodies in protobuf that say one thing in the many ways the wire allows, through the real agent.
local client = require("spec.agent.client")
local wire = require("spec.otlp_writer")

local PROTOBUF, ANY = client.PROTOBUF, client.ANY
local connect, ask, request, with = client.connect, client.ask, client.request, client.with
local in_protobuf = client.in_protobuf

describe("the wire form", function()
  -- Bodies that say the same in ways that protobuf allows: each must hit the one rule.
  local SAME = 'rule "same" { when = { name = "n", kind = "SERVER", k = 7, service = "shop", scope = "l", status = "ERROR" } }'
  local T, S = wire.text(1, ("\7"):rep(16)), nil
  local function id(i) S = wire.text(2, ("\0"):rep(7) .. string.char(i)); return T .. S end
  local function padded(n, x) return string.char(x % 128 + 128) .. ("\128"):rep(n - 2) .. "\0" end
  local shop = wire.attribute(1, "service.name", "shop")
  local status, kind = wire.text(15, wire.varint_field(3, 2)), wire.varint_field(6, 2)
  local name, k = wire.text(5, "n"), wire.attribute(9, "k", 7)
  local function body(span, resource, scope)
    return wire.text(1, (resource or wire.text(1, shop)) .. wire.text(2, (scope or wire.text(1, wire.text(1, "l"))) .. wire.text(2, span)))
  end
  local forms = {
    plain = function(i) return body(id(i) .. name .. kind .. k .. status) end,
    ["its ids and its resource last"] = function(i)
      return wire.text(1, wire.text(2, wire.text(2, status .. k .. kind .. name .. id(i)) .. wire.text(1, wire.text(1, "l"))) .. wire.text(1, shop))
    end,
    ["explicit zeros"] = function(i)
      return body(id(i) .. wire.text(3, "") .. wire.text(4, "") .. name .. kind .. wire.fixed64(7, 0) .. wire.fixed64(8, 0) .. k
        .. wire.varint_field(10, 0) .. wire.varint_field(12, 0) .. wire.varint_field(14, 0) .. status .. wire.tag(16, 5) .. ("\0"):rep(4))
    end,
    ["the last of a doubled scalar"] = function(i)
      return body(T .. wire.text(2, ("\9"):rep(8)) .. wire.text(5, "no") .. wire.varint_field(6, 3) .. id(i) .. name .. kind .. k
        .. wire.text(15, wire.varint_field(3, 1) .. wire.varint_field(3, 2)))
    end,
    ["a message in pieces"] = function(i)
      return body(id(i) .. name .. kind .. wire.text(9, wire.text(2, "") .. wire.text(1, "k") .. wire.text(2, wire.varint_field(3, 7)))
        .. wire.text(15, wire.varint_field(3, 2)) .. wire.text(15, wire.text(2, "m")),
        wire.text(1, wire.attribute(1, "a", 1)) .. wire.text(1, shop), wire.text(1, wire.text(2, "1")) .. wire.text(1, wire.text(1, "l")))
    end,
    ["padded varints"] = function(i)
      local tag = padded(3, 5 * 8 + 2)
      return body(id(i) .. tag .. padded(5, 1) .. "n" .. wire.tag(6, 0) .. padded(10, 2) .. wire.tag(9, 2) .. padded(4, 7) .. wire.text(1, "k")
        .. wire.text(2, wire.varint_field(3, 7)) .. status)
    end,
    ["fields that nobody knows"] = function(i)
      local unknown = wire.varint_field(1000, 5) .. wire.text(2000, "x") .. wire.fixed64(3000, 1) .. wire.tag(4000, 5) .. "abcd"
      return unknown .. wire.text(1, wire.text(1, shop .. unknown) .. wire.text(2, wire.text(1, wire.text(1, "l") .. unknown) .. unknown
        .. wire.text(2, unknown .. id(i) .. name .. kind .. k .. wire.text(15, unknown .. wire.varint_field(3, 2))))
        .. wire.text(1000, wire.text(2, wire.text(2, wire.text(5, "an old copy"))))) .. unknown
    end,
    ["the reserved field of a status"] = function(i)
      return body(id(i) .. name .. kind .. k .. wire.text(15, wire.varint_field(1, 1) .. wire.varint_field(3, 2)))
    end,
    ["a resource with entities"] = function(i)
      return body(id(i) .. name .. kind .. k .. status, wire.text(1, shop .. wire.text(3, wire.text(2, "service") .. wire.text(3, "service.name"))))
    end,
    ["a doubled key, the last"] = function(i) return body(id(i) .. name .. kind .. wire.attribute(9, "k", 1) .. k .. status) end,
    ["a doubled value, the last"] = function(i)
      return body(id(i) .. name .. kind .. status
        .. wire.text(9, wire.text(1, "k") .. wire.text(2, wire.text(1, "no") .. wire.varint_field(2, 1) .. wire.varint_field(3, 7))))
    end,
    ["flags with reserved bits"] = function(i) return body(id(i) .. name .. kind .. k .. status .. wire.tag(16, 5) .. "\255\255\255\255") end,
    ["an alpha field of a key"] = function(i)
      return body(id(i) .. name .. kind .. status .. wire.text(9, wire.text(1, "k") .. wire.text(2, wire.varint_field(3, 7)) .. wire.varint_field(3, 5)))
    end,
  }
  local names = {}
  for what in pairs(forms) do names[#names + 1] = what end
  table.sort(names)

  for i, what in ipairs(names) do
    it("may have " .. what, function()
      local found, totals = with({ rules = ANY .. "\n" .. SAME }, function(agent)
        local a = ask(connect(agent), request(forms[what](i), { type = PROTOBUF }))
        assert.same({ 200, "" }, { a.status, a.body })
      end)
      assert.same({ 2, 1 }, { #found, totals.received })
      assert.equal(("%016x"):format(i), found[1].spans[1].span_id)
    end)
  end

  it("may have string indices, which are absent, counted and warned of once", function()
    local rules = 'rule "absent" { when = { k = missing, name = "n", where = function(s) return s.attributes.j == nil end } }'
    local found, _, log = with({ rules = rules }, function(agent)
      local c = connect(agent)
      for i = 1, 2 do
        local extra = wire.text(9, wire.varint_field(3, 4) .. wire.text(2, wire.varint_field(3, 7)))
          .. wire.text(9, wire.text(1, "j") .. wire.text(2, wire.varint_field(8, 4)))
        assert.equal(200, ask(c, request(in_protobuf(i, extra), { type = PROTOBUF })).status)
        if i == 1 then agent:read_log(function(line) return line:find("string indices", 1, true) end) end
      end
      assert.equal(4, agent:metrics().fluo_receiver_strindex_total)
    end)
    assert.equal(2, #found)
    local said = 0
    for _, line in ipairs(log) do if line:find("string indices", 1, true) then said = said + 1 end end
    assert.equal(1, said)
  end)
end)
