local core, ffi = require("spec.support").core("heap", "state")

jit.off()                                                             -- C calls back into Lua

-- Names in order of use, the latest last. A name is taken out where it stands, however many there are.
local function order()
  local list = { after = {}, before = {}, count = 0 }       -- 0 stands before the first and after the last
  list.after[0], list.before[0] = 0, 0

  function list.forget(name)
    local before, after = list.before[name], list.after[name]
    if not after then return end
    list.after[before], list.before[after] = after, before
    list.after[name], list.before[name] = nil, nil
    list.count = list.count - 1
  end

  function list.use(name)
    list.forget(name)
    local last = list.before[0]
    list.after[last], list.before[name], list.after[name], list.before[0] = name, last, 0, name
    list.count = list.count + 1
  end

  function list.first() return list.after[0] end

  function list.names()
    local names, at = {}, list.after[0]
    while at ~= 0 do names[#names + 1], at = at, list.after[at] end
    return names
  end

  return list
end

-- What is kept, who goes, and in which order a walk goes, against lists that are in order after every use.
for _, deferred in ipairs({ false, true }) do
  describe("state whose order is kept " .. (deferred and "when it is asked for" or "at every use"), function()
    local live, state, owners, gone, used, used_of

    local function key_of(g) return ffi.string(core.state_group_key(g), g.key_bytes) end
    local callbacks = {
      init = ffi.cast("int (*)(struct state_group *)", function() return 0 end),
      deinit = ffi.cast("void (*)(struct state_group *)", function(g) gone[#gone + 1] = key_of(g) end),
      bytes = ffi.cast("size_t (*)(const struct state_group *)", function() return 0 end),
    }
    local ops = ffi.new("struct state_ops", { size = ffi.sizeof("struct state_group"), init = callbacks.init,
                                              deinit = callbacks.deinit, bytes = callbacks.bytes })
    local key, out = ffi.new("struct state_key"), ffi.new("struct state_group *[1]")

    local function key_named(name)
      key.bytes, key.n, key.hash = ffi.cast("const char *", name), #name, core.state_hash(state, name, #name)
      return key
    end

    -- As the state is told to, and as it has to be.
    local function use(owner, i)
      local name = owner .. ":" .. i
      assert(core.state_get(owners[owner], key_named(name), out) == 0)
      core.state_account(out[0])
      used.use(name)
      used_of[owner].use(name)
    end

    local function open(bytes_max, groups_max)
      local made = ffi.new("struct state *[1]")
      assert.equal(0, core.state_new(bytes_max, made))
      state, owners = made[0], {}
      if deferred then core.state_defer(state) end
      for i = 1, 3 do
        owners[i] = ffi.new("struct state_owner")
        core.state_owner_init(owners[i], state, ops, groups_max)
      end
    end

    local function walk()
      local list = {}
      core.state_walk(state)
      for g in function() local g = core.state_walk_next(state) return g ~= nil and g or nil end do list[#list + 1] = key_of(g) end
      return list
    end

    before_each(function()
      live, gone, used, used_of = core.heap_live(), {}, order(), { order(), order(), order() }
      math.randomseed(7)
    end)
    after_each(function()
      for _, o in ipairs(owners) do core.state_owner_deinit(o) end
      core.state_free(state)
      assert.equal(live, core.heap_live())
    end)

    it("lets the least recently used of an owner go, whatever was used since", function()
      open(2 ^ 30, 50)
      for n = 1, 60000 do
        local owner, i = math.random(3), math.random(n % 20000 < 10000 and 45 or 60)
        local list, name, before = used_of[owner], owner .. ":" .. i, #gone
        local first = list.first()
        local full = list.count == 50 and core.state_find(owners[owner], key_named(name)) == nil
        use(owner, i)
        assert(#gone == before + (full and 1 or 0))
        if full then
          assert(gone[#gone] == first)
          list.forget(first)
        end
      end
    end)

    it("lets the least recently used of all go where there are too many bytes", function()
      open(40000, 1000)
      for n = 1, 40000 do
        local before = #gone
        use(math.random(3), math.random(n % 10000 < 8000 and 80 or 200))
        for i = before + 1, #gone do
          assert.equal(used.first(), gone[i])
          used.forget(gone[i])
        end
      end
      assert.is_true(#gone > 1000 and used.count > 100)
    end)

    it("finds every group, also where there was no memory for a slot of its own", function()
      open(2 ^ 30, 10000)
      local put, crowded = {}, 0
      for i = 1, 3000 do
        local name = "key " .. i
        core.heap_fail_only(i % 2)                            -- 0: none fails
        local err = core.state_get(owners[i % 3 + 1], key_named(name), out)
        if err == 0 then put[#put + 1] = i else assert(tonumber(core.heap_failed()) == 1) end
        if err == 0 and core.heap_failed() > 0 then crowded = crowded + 1 end
      end
      core.heap_fail_only(0)
      assert.is_true(#put > 1500 and crowded > 5)
      for n, i in ipairs(put) do
        local name = "key " .. i
        local g = core.state_find(owners[i % 3 + 1], key_named(name))
        assert(g ~= nil and key_of(g) == name)
        if n % 2 == 0 then core.state_drop(g) end
      end
      for n, i in ipairs(put) do
        local name = "key " .. i
        assert((core.state_find(owners[i % 3 + 1], key_named(name)) == nil) == (n % 2 == 0))
      end
    end)

    it("is walked over in order of use, each group once, while others go on being used", function()
      open(2 ^ 30, 10000)
      for _ = 1, 40000 do use(math.random(3), math.random(900)) end
      assert.same(used.names(), walk())
      for _ = 1, 3 do
        local expected, seen = used.names(), {}
        core.state_walk(state)
        for n = 1, math.huge do
          local g = core.state_walk_next(state)
          if g == nil then break end
          assert.is_nil(seen[key_of(g)])
          seen[key_of(g)] = n
          if n % 3 == 0 then use(math.random(3), math.random(900)) end
          if n % 100 == 0 then for _ = 1, 9000 do use(1, math.random(5)) end end
        end
        for _, name in ipairs(expected) do assert.is_number(seen[name]) end
      end
      assert.same(used.names(), walk())
    end)

    it("is walked over to the end while groups go", function()
      open(60000, 1000)
      for _ = 1, 20000 do use(math.random(3), math.random(300)) end
      for _ = 1, #gone do table.remove(gone) end
      local left = walk()
      core.state_walk(state)
      local seen = {}
      for n = 1, math.huge do
        local g = core.state_walk_next(state)
        if g == nil then break end
        assert.is_nil(seen[key_of(g)])
        seen[key_of(g)] = true
        if n % 2 == 0 then use(math.random(3), 1000 + n) end
      end
      local went = {}
      for _, name in ipairs(gone) do went[name] = true end
      for _, name in ipairs(left) do assert.is_true(seen[name] or went[name]) end
    end)
  end)
end
