# FLUO. `make run` and `make test` are all a newcomer needs; see README.md.

CC      ?= cc
PREFIX  ?= /usr/local
BUILD   ?= build
LUAJIT  ?= luajit
VERSION := 0.1.0

# ---- what Debian has to provide (the one list) --------------------------------------------------
PACKAGES_BUILD := build-essential pkg-config libuv1-dev libluajit-5.1-dev luajit node-llhttp libpcre2-dev \
                  zlib1g-dev libyaml-dev libprotobuf-c-dev protobuf-c-compiler libcurl4-openssl-dev libsqlite3-dev lua-cjson
PACKAGES_TEST  := lua-busted lua-check prometheus prometheus-alertmanager python3 curl sqlite3 libedit2
PACKAGES_FUZZ  := clang libclang-rt-14-dev

# ---- how it is compiled -------------------------------------------------------------------------
LIBS     := libuv luajit libpcre2-8 zlib yaml-0.1 libprotobuf-c sqlite3
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Werror
OPTIMIZE ?= -O2 -g
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -fPIC $(OPTIMIZE) $(CFLAGS) -iquote include -iquote core -I$(BUILD)/gen \
             -I/usr/share/include/llhttp $(shell pkg-config --cflags $(LIBS)) \
             -DFLUO_VERSION='"$(VERSION)"' -DLLHTTP_STRICT_MODE=1
LDFLAGS_ALL = $(LDFLAGS) -rdynamic -pthread
LDLIBS_ALL  = $(shell pkg-config --libs $(LIBS)) -lm -ldl

CORE := $(filter-out core/main.c,$(wildcard core/*.c))
LUA  := $(sort $(shell find lua -name '*.lua' ! -path 'lua/fluo/receivers/*' 2>/dev/null))
OBJ  := $(CORE:core/%.c=$(BUILD)/obj/%.o)
GEN  := $(BUILD)/obj/gen/otlp.pb-c.o $(patsubst %,$(BUILD)/obj/gen/%.o,llhttp http api)
BYTE := $(LUA:lua/%.lua=$(BUILD)/obj/lua/%.o) $(patsubst %,$(BUILD)/obj/lua/fluo/%.o,header builtins)
RECEIVERS := $(sort $(wildcard lua/fluo/receivers/*.lua))

all: $(BUILD)/fluo

# The names of what is linked, written when they are others: so what has lost a file is linked anew too.
NAMES := $(BUILD)/gen/names
$(NAMES): always
	@mkdir -p $(@D)
	@echo '$(CORE) $(LUA) $(RECEIVERS)' | cmp -s - $@ || echo '$(CORE) $(LUA) $(RECEIVERS)' > $@

$(BUILD)/fluo: $(BUILD)/obj/main.o $(OBJ) $(GEN) $(BYTE) $(NAMES)
	@echo '  link $@'; $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(LDLIBS_ALL)

# What specs call: every room, without main, and protobuf-c as the second opinion.
$(BUILD)/libfluo.so: $(OBJ) $(GEN) $(BYTE) $(BUILD)/obj/spec/oracle.o $(NAMES)
	@echo '  link $@'; $(CC) $(LDFLAGS_ALL) -shared -o $@ $(filter %.o,$^) $(LDLIBS_ALL)
lib: $(BUILD)/libfluo.so

$(BUILD)/obj/%.o: core/%.c | $(BUILD)/gen/otlp.pb-c.h
	@mkdir -p $(@D)
	@echo '  cc $<'; $(CC) $(CFLAGS_ALL) $(WARNINGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/spec/%.o: spec/%.c | $(BUILD)/gen/otlp.pb-c.h
	@mkdir -p $(@D)
	@echo '  cc $<'; $(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/gen/otlp.pb-c.h: core/otlp.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=core --c_out=$(@D) $<
$(BUILD)/gen/otlp.pb-c.c: $(BUILD)/gen/otlp.pb-c.h ;
$(BUILD)/obj/gen/otlp.pb-c.o: $(BUILD)/gen/otlp.pb-c.c
	@mkdir -p $(@D)
	@echo '  cc $<'; $(CC) $(CFLAGS_ALL) -c -o $@ $<
$(BUILD)/obj/gen/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	@echo '  cc $<'; $(CC) $(CFLAGS_ALL) -c -o $@ $<

# Lua goes into the binary as bytecode: require "fluo.rule" finds the symbol luaJIT_BC_fluo_rule.
$(BUILD)/obj/lua/%.o: lua/%.lua
	@mkdir -p $(@D)
	@echo '  lua $<'; $(LUAJIT) -bg -n $(subst /,.,$*) $< $@
$(BUILD)/gen/header.lua: include/fluo.h
	@mkdir -p $(@D)
	@(echo 'return [==['; sed 's/^#.*//' $<; echo ']==]') > $@
# Receivers go in as text: `fluo notify --print` shows it, and it is run as a user's file is.
$(BUILD)/gen/builtins.lua: $(RECEIVERS) $(NAMES)
	@mkdir -p $(@D)
	@(echo 'return {'; for file in $(RECEIVERS); do echo "$$(basename $$file .lua) = [==["; cat $$file; echo ']==],'; done; echo '}') > $@
$(BUILD)/obj/lua/fluo/header.o $(BUILD)/obj/lua/fluo/builtins.o: $(BUILD)/obj/lua/fluo/%.o: $(BUILD)/gen/%.lua
	@mkdir -p $(@D)
	@echo '  lua $<'; $(LUAJIT) -bg -n fluo.$* $< $@

# ---- what a newcomer calls ----------------------------------------------------------------------
run: deps all
	$(BUILD)/fluo run --rules=rules --data=$(BUILD)/data

# Every spec, and every one again under the address and undefined-behaviour sanitizers. What has to be built for that is
# built on all processors, whoever calls.
JOBS ?= $(shell nproc)
test: deps deps-test
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) all lib lint sanitized $(BUILD)/clients corpus
	$(LUAJIT) spec/run.lua $(BUILD) $(BUILD)/asan

# Installs what is missing of a list of packages, as root or with sudo.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
define install-missing
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing" $$missing; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef
deps: ; $(call install-missing,$(PACKAGES_BUILD))
deps-fuzz: ; $(call install-missing,$(PACKAGES_BUILD) $(PACKAGES_FUZZ))
deps-test: ; $(call install-missing,$(PACKAGES_TEST) $(if $(shell command -v npm),,npm))

# The SDKs that the specs send traffic with; the copy under $(BUILD) keeps the checkout clean.
$(BUILD)/clients: spec/clients/package.json spec/clients/package-lock.json spec/clients/.npmrc
	rm -rf $@ && mkdir -p $@ && cp $^ $@ && cd $@ && npm install --silent --no-save

install: all
	install -D -m 0755 $(BUILD)/fluo $(DESTDIR)$(PREFIX)/bin/fluo
	install -d $(DESTDIR)$(PREFIX)/share/fluo/rules
	install -m 0644 $(filter-out %_spec.lua,$(wildcard rules/*.lua)) $(wildcard rules/*.md) $(DESTDIR)$(PREFIX)/share/fluo/rules
	install -D -m 0644 contrib/editor/fluo.lua $(DESTDIR)$(PREFIX)/share/fluo/editor/fluo.lua
	install -D -m 0644 contrib/openapi.json $(DESTDIR)$(PREFIX)/share/fluo/contrib/openapi.json

# ---- what keeps it right ------------------------------------------------------------------------
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ASAN      = $(MAKE) --no-print-directory BUILD=$(BUILD)/asan OPTIMIZE='-O1 -g $(SANITIZE)' LDFLAGS='$(SANITIZE)'
sanitized: deps
	@+$(ASAN) all lib
asan: deps deps-test sanitized $(BUILD)/clients
	$(LUAJIT) spec/run.lua $(BUILD)/asan

# Fuzzers: `make fuzz` gives each target a minute; `make corpus` only runs what was found before, under the sanitizers
# of the specs.
FUZZ_SECONDS ?= 60
FUZZ    := $(patsubst spec/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard spec/fuzz/*.c))
FUZZING := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZED  := $(patsubst $(BUILD)/%,$(BUILD)/fuzz/build/%,$(OBJ) $(GEN))
$(BUILD)/fuzz/%: spec/fuzz/%.c spec/oracle.c $(BUILD)/fuzz/objects
	@echo '  fuzz $@'; clang-14 $(CFLAGS_ALL) $(FUZZING) -fsanitize=fuzzer -I$(BUILD)/fuzz/build/gen -rdynamic -o $@ $< $(FUZZED) $(LDLIBS_ALL)
$(BUILD)/fuzz/objects: $(CORE) $(wildcard core/*.h) include/fluo.h $(NAMES)
	$(MAKE) BUILD=$(BUILD)/fuzz/build CC=clang-14 OPTIMIZE='$(FUZZING) -fsanitize=fuzzer-no-link' fuzz-objects
	@touch $@
fuzz-objects: $(OBJ) $(GEN)
# What was found before, and intermediate forms made anew of the rules there are: a stored one is refused by the next version.
SEEDS ?= $(BUILD)/fuzz/corpus
seeds: lib
	@mkdir -p $(SEEDS)/ir && cp -r spec/fuzz/corpus/. $(SEEDS)
	@FLUO_LIB=$(BUILD)/libfluo.so $(LUAJIT) spec/fuzz/ir_seeds.lua $(SEEDS)/ir
fuzz: deps-fuzz $(FUZZ) seeds
	for target in $(FUZZ); do $$target -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	  $(SEEDS)/$$(basename $$target) || exit 1; done

FOUND := $(patsubst spec/fuzz/%.c,$(BUILD)/corpus/%,$(wildcard spec/fuzz/*.c))
$(BUILD)/corpus/%: spec/fuzz/%.c spec/corpus.c spec/oracle.c $(BUILD)/libfluo.so
	@mkdir -p $(@D)
	@echo '  corpus $@'; $(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $< spec/corpus.c $(BUILD)/libfluo.so -Wl,-rpath,'$$ORIGIN/..' $(LDLIBS_ALL)
found: $(FOUND:=.ran)
$(FOUND:=.ran): %.ran: %
	@ASAN_OPTIONS=detect_leaks=0 $< $(SEEDS)/$(*F)/* >$<.log 2>&1 || { cat $<.log; exit 1; }
corpus: sanitized seeds
	@+$(ASAN) SEEDS=$(SEEDS) found

# What editors know of rules, made from lua/fluo/reference.lua.
stubs:
	@mkdir -p contrib/editor
	LUA_PATH='lua/?.lua;;' $(LUAJIT) -e 'io.write(require("fluo.cli.stubs").text())' > contrib/editor/fluo.lua

lint: all
	luacheck -q lua rules spec
	$(LUAJIT) spec/lint.lua $(BUILD)

bench: deps deps-test all lib
	BUILD=$(BUILD) FLUO=$(BUILD)/fluo $(LUAJIT) spec/bench/bench.lua

# What attacks cost the others: acks of ordinary load beside each, and beside the same bytes sent to a sink.
bench-attacks: deps deps-test all
	BUILD=$(BUILD) FLUO=$(BUILD)/fluo $(LUAJIT) spec/bench/attacks.lua
bench-misbehaving: deps deps-test all
	BUILD=$(BUILD) FLUO=$(BUILD)/fluo $(LUAJIT) spec/bench/misbehaving.lua

# Instructions a span, which no other load on the machine can change; needs valgrind. See spec/bench/README.md.
$(BUILD)/inside: spec/bench/inside.c spec/bench/payload.c spec/bench/payload.h $(BUILD)/libfluo.so
	$(CC) $(CFLAGS_ALL) -iquote spec/bench -o $@ spec/bench/inside.c spec/bench/payload.c $(BUILD)/libfluo.so -Wl,-rpath,'$$ORIGIN'
bench-instructions: $(BUILD)/inside
	$(call install-missing,valgrind)
	FLUO_LIB=$(BUILD)/libfluo.so $(LUAJIT) spec/bench/instructions.lua $(BUILD)

clean:
	rm -rf $(BUILD)

-include $(OBJ:.o=.d) $(BUILD)/obj/main.d $(BUILD)/obj/spec/oracle.d
.PHONY: always all lib run test deps deps-test deps-fuzz install stubs sanitized asan fuzz fuzz-objects seeds corpus lint bench bench-attacks bench-misbehaving bench-instructions clean
.DELETE_ON_ERROR:
