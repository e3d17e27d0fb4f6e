# FLUO. `make run` and `make test` are all a newcomer needs; see README.md.

CC      ?= cc
PREFIX  ?= /usr/local
BUILD   ?= build
LUAJIT  ?= luajit
VERSION := 0.1.0

# ---- what Debian has to provide (the one list) --------------------------------------------------
PACKAGES_BUILD := build-essential pkg-config libuv1-dev libluajit-5.1-dev luajit node-llhttp libpcre2-dev \
                  zlib1g-dev libprotobuf-c-dev protobuf-c-compiler
PACKAGES_TEST  := lua-busted lua-cjson lua-check prometheus python3 curl clang libclang-rt-14-dev

# ---- how it is compiled -------------------------------------------------------------------------
LIBS     := libuv luajit libpcre2-8 zlib libprotobuf-c
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Werror
OPTIMIZE ?= -O2 -g
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -fPIC $(OPTIMIZE) $(CFLAGS) -Iinclude -Icore -I$(BUILD)/gen \
             -I/usr/share/include/llhttp $(shell pkg-config --cflags $(LIBS)) \
             -DFLUO_VERSION='"$(VERSION)"' -DLLHTTP_STRICT_MODE=1
LDFLAGS_ALL = $(LDFLAGS) -rdynamic -pthread
LDLIBS_ALL  = $(shell pkg-config --libs $(LIBS)) -lm -ldl

CORE := $(filter-out core/main.c,$(wildcard core/*.c))
LUA  := $(shell find lua -name '*.lua' 2>/dev/null)
OBJ  := $(CORE:core/%.c=$(BUILD)/obj/%.o)
GEN  := $(BUILD)/obj/gen/otlp.pb-c.o $(patsubst %,$(BUILD)/obj/gen/%.o,llhttp http api)
BYTE := $(LUA:lua/%.lua=$(BUILD)/obj/lua/%.o) $(BUILD)/obj/lua/fluo/header.o

all: $(BUILD)/fluo

$(BUILD)/fluo: $(BUILD)/obj/main.o $(OBJ) $(GEN) $(BYTE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

# What specs call: every room, without main.
$(BUILD)/libfluo.so: $(OBJ) $(GEN) $(BYTE)
	$(CC) $(LDFLAGS_ALL) -shared -o $@ $^ $(LDLIBS_ALL)
lib: $(BUILD)/libfluo.so

$(BUILD)/obj/%.o: core/%.c | $(BUILD)/gen/otlp.pb-c.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(WARNINGS) -MMD -MP -c -o $@ $<

$(BUILD)/gen/otlp.pb-c.h: core/otlp.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=core --c_out=$(@D) $<
$(BUILD)/gen/otlp.pb-c.c: $(BUILD)/gen/otlp.pb-c.h ;
$(BUILD)/obj/gen/otlp.pb-c.o: $(BUILD)/gen/otlp.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c -o $@ $<
$(BUILD)/obj/gen/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -c -o $@ $<

# Lua goes into the binary as bytecode: require "fluo.rule" finds the symbol luaJIT_BC_fluo_rule.
$(BUILD)/obj/lua/%.o: lua/%.lua
	@mkdir -p $(@D)
	$(LUAJIT) -bg -n $(subst /,.,$*) $< $@
$(BUILD)/gen/header.lua: include/fluo.h
	@mkdir -p $(@D)
	(echo 'return [==['; sed 's/^#.*//' $<; echo ']==]') > $@
$(BUILD)/obj/lua/fluo/header.o: $(BUILD)/gen/header.lua
	@mkdir -p $(@D)
	$(LUAJIT) -bg -n fluo.header $< $@

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(BUILD)/obj/main.d
.PHONY: all lib clean
