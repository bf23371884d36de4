# mnist_hil: the user's and the developer's commands.  `make help` lists them.
#
# PGXS provides make, install, uninstall, clean and installcheck.  PG_CONFIG chooses the server (15 to 18).

EXTENSION = mnist_hil
MODULE_big = mnist_hil
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" mnist_hil.control)
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# The directory of everything that is built, except for the library's objects, which lie beside their sources.
BUILD = build

# ---- the library

# The rooms of src, each with the rooms that it may use.  src/README.md describes them, and make lint checks the arrows.
# The rooms of the plain library compile without the server's headers.
LIBRARY_ARROWS = \
	util: \
	stat:util \
	nn:util \
	nn/kernels:util,nn \
	nn/formats:util,nn \
	nn/infer:util,nn,nn/kernels \
	nn/train:util,nn,nn/kernels \
	image:util \
	search:util
SERVER_ARROWS = \
	pg:util,nn,image \
	model:util,nn,nn/formats,nn/infer,pg \
	serve:util,nn,nn/infer,image,pg,model \
	data:util,image,pg \
	watch:util,stat,pg \
	train:util,stat,nn,nn/kernels,nn/infer,nn/train,search,pg,model
PROGRAM_ARROWS = \
	notify:

rooms_of = $(foreach arrow,$(1),$(firstword $(subst :, ,$(arrow))))
LIBRARY_ROOMS = $(call rooms_of,$(LIBRARY_ARROWS))
SERVER_ROOMS = $(call rooms_of,$(SERVER_ARROWS))
LIBRARY_SOURCES := $(wildcard $(LIBRARY_ROOMS:%=src/%/*.c))
SERVER_SOURCES := src/module.c $(wildcard $(SERVER_ROOMS:%=src/%/*.c))

# The operations that have kernels.  src/nn/kernels/NAME.c is compiled once for each instruction set, to NAME.ISA.o.
KERNELS = activation affine conv gemm optimizer winograd winograd_train
KERNEL_SOURCES = $(KERNELS:%=src/nn/kernels/%.c)
ISAS = portable $(if $(filter x86_64 amd64,$(shell uname -m)),avx2 avx512)
ISA_FLAGS_portable =
ISA_FLAGS_avx2 = -DNN_TARGET_AVX2 -mavx2 -mfma
ISA_FLAGS_avx512 = -DNN_TARGET_AVX512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl \
	-mprefer-vector-width=512

LIBRARY_OBJS := $(patsubst %.c,%.o,$(filter-out $(KERNEL_SOURCES),$(LIBRARY_SOURCES))) \
	$(foreach isa,$(ISAS),$(KERNEL_SOURCES:.c=.$(isa).o))
OBJS := $(SERVER_SOURCES:.c=.o) $(LIBRARY_OBJS)

# The install script is the concatenation of one file per subject, and it is idempotent.  An upgrade script in sql/ has
# only what is altered and dropped; the installed upgrade script is that file and then the install script.  The order
# matters, because views and SQL function bodies need the objects that they name when they are created.
SQL_SUBJECTS = header common \
	run model event notify image prediction feedback dataset snapshot label_noise release_0_1_0 \
	statistics challenge transfer training recipe probation gate \
	drift bundled/drift_reference restore \
	loop registry retention schedule \
	status metrics quality performance report/data report/html report/sections report/report \
	erase privileges upgraded
SQL_PARTS = $(SQL_SUBJECTS:%=sql/%.sql)
EXTENSION_SCRIPT = $(BUILD)/mnist_hil--$(EXTVERSION).sql
EXTENSION_WEIGHTS = $(BUILD)/mnist_hil--default.weights
UPGRADES := $(patsubst sql/%,$(BUILD)/%,$(wildcard sql/mnist_hil--*--$(EXTVERSION).sql))
DATA_built = $(EXTENSION_SCRIPT) $(UPGRADES) $(EXTENSION_WEIGHTS)

WARNINGS = -Wall -Wextra -Wmissing-prototypes -Wshadow -Wno-declaration-after-statement
ifdef WERROR
WARNINGS += -Werror
endif
# The flags of a server built with gcc are also passed to clang, which does not know all of them.
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-ignored-optimization-argument -Wno-unknown-warning-option
endif
STANDARD = -std=gnu11

PG_CPPFLAGS = -Isrc '-DMNIST_HIL_VERSION="$(EXTVERSION)"'
PG_CFLAGS = $(STANDARD) $(WARNINGS) -MMD -MP
# No warnings about the server's headers.
ifneq ($(PGXS),)
PG_CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir-server)
endif
ifdef DEBUG
PG_CFLAGS += -O0 -g3
endif

# OpenBLAS is not linked, because it starts threads when it is loaded.  Only training processes load it, by dlopen.
SHLIB_LINK = -lpng -lz -lm -ldl -Wl,--version-script=src/exports.map

# Also removes what earlier versions built under other names.
EXTRA_CLEAN = $(BUILD) $(wildcard src/*.[od] src/*/*.[od] src/*/*/*.[od])

# ---- installcheck: pg_regress and isolation tests against a running server with the library preloaded

REGRESS := $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=$(BUILD)
ISOLATION := $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=$(BUILD)

ifneq ($(wildcard $(PGXS)),)
# No bitcode for the JIT: no function here is small enough to be worth inlining, and building it would need the clang
# that the server was built with.
override with_llvm = no
# -MMD above writes the dependencies.
override autodepend = no
include $(PGXS)
else
all install uninstall installcheck:
	@echo "$@ needs PostgreSQL's server headers: pg_config is not there or has no PGXS." >&2
	@echo "On Debian: apt-get install $$(test/packages.sh list run), or run make demo, which does it." >&2
	@false
clean:
	rm -rf $(EXTRA_CLEAN) $(OBJS) mnist_hil.so
endif

-include $(OBJS:.o=.d)

# The control file has the version, which is compiled in.
src/pg/schema.o: mnist_hil.control

# Vectorize loops over pixels, which -O2 alone does not do.
VECTORS = -ftree-vectorize
src/image/%.o: override CFLAGS += $(VECTORS)
$(BUILD)/src/image/%.o: override PROGRAM_CFLAGS += $(VECTORS)

# The kernels, for the library and for the programs without PostgreSQL.
define compile_kernels
src/nn/kernels/%.$(1).o: src/nn/kernels/%.c
	$$(COMPILE.c) $$(ISA_FLAGS_$(1)) -o $$@ $$<

$(BUILD)/src/nn/kernels/%.$(1).o: src/nn/kernels/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(PROGRAM_CFLAGS) $$(ISA_FLAGS_$(1)) -c -o $$@ $$<

endef
$(eval $(foreach isa,$(ISAS),$(call compile_kernels,$(isa))))

# The line @report.css@ is replaced by the style sheet of the report.
REPORT_STYLE = sql/report/report.css
$(EXTENSION_SCRIPT): $(SQL_PARTS) $(REPORT_STYLE) Makefile mnist_hil.control | $(BUILD)
	sed -e '/^@report\.css@$$/ {' -e 'r $(REPORT_STYLE)' -e 'd' -e '}' $(SQL_PARTS) > $@

$(UPGRADES): $(BUILD)/%: sql/% $(EXTENSION_SCRIPT)
	cat $^ > $@

$(EXTENSION_WEIGHTS): sql/bundled/default.weights | $(BUILD)
	cp $< $@

$(BUILD):
	mkdir -p $@

# ---- programs without PostgreSQL: unit tests, fuzz targets, benchmarks
#
# The rooms of the plain library know nothing of PostgreSQL, so they compile without the server's headers.  Variants
# (sanitizers, coverage, fuzzing) are built by this Makefile with another BUILD and other PROGRAM_FLAGS.

PROGRAM_FLAGS = -O2 -g
PROGRAM_CFLAGS = $(STANDARD) $(WARNINGS) -D_GNU_SOURCE -Isrc -MMD -MP $(PROGRAM_FLAGS)
PROGRAM_LIBS = -lpng -lz -lm -ldl

PLAIN_LIBRARY = $(BUILD)/libmnist_hil.a
# If the server's headers are available and no variant is built, the programs link the same objects that are installed.
ifeq ($(BUILD)$(if $(wildcard $(PGXS)),,none),build)
PLAIN_OBJS := $(LIBRARY_OBJS)
else
PLAIN_OBJS := $(LIBRARY_OBJS:%=$(BUILD)/%)
endif
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/unit/test_*.c))
UNIT_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard test/unit/test_*.c),$(wildcard test/unit/*.c)))
FUZZ_TARGETS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/fuzz/fuzz_*.c))
BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard test/bench/*.c))
# The driver is not needed with a compiler that has libFuzzer (FUZZ_ENGINE=-fsanitize=fuzzer).
FUZZ_ENGINE =
FUZZ_DRIVER = $(if $(FUZZ_ENGINE),,$(BUILD)/test/fuzz/driver.o)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(PROGRAM_CFLAGS) -c -o $@ $<

$(PLAIN_LIBRARY): $(PLAIN_OBJS)
	rm -f $@
	$(AR) rcs $@ $^

$(UNIT_TESTS): %: %.o $(UNIT_SHARED) $(PLAIN_LIBRARY)
	$(CC) $(PROGRAM_FLAGS) -o $@ $^ -lcmocka $(PROGRAM_LIBS)

$(FUZZ_TARGETS): %: %.o $(FUZZ_DRIVER) $(PLAIN_LIBRARY)
	$(CC) $(PROGRAM_FLAGS) $(FUZZ_ENGINE) -o $@ $^ $(PROGRAM_LIBS)

$(BENCH_PROGRAMS): %: %.o $(PLAIN_LIBRARY)
	$(CC) $(PROGRAM_FLAGS) -o $@ $^ $(PROGRAM_LIBS)

# ---- mnist_hil_notify, which needs the headers of libpq and libcurl; test/packages.sh list notify

NOTIFY = $(BUILD)/mnist_hil_notify
NOTIFY_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/notify/*.c))
NOTIFY_BINDIR = /usr/local/bin
NOTIFY_UNITDIR = /usr/local/lib/systemd/system

$(BUILD)/src/notify/%.o: override PROGRAM_CFLAGS += '-DMNIST_HIL_VERSION="$(EXTVERSION)"' \
	$(addprefix -isystem ,$(shell $(PG_CONFIG) --includedir 2>/dev/null))

$(NOTIFY): $(NOTIFY_OBJS)
	$(CC) $(PROGRAM_FLAGS) -o $@ $^ $(addprefix -L,$(shell $(PG_CONFIG) --libdir 2>/dev/null)) -lpq -lcurl

$(BUILD)/src/notify/options.o $(BUILD)/src/notify/webhook.o: mnist_hil.control

.SECONDARY:
-include $(wildcard $(BUILD)/src/*/*.d $(BUILD)/src/*/*/*.d $(BUILD)/test/*/*.d)

.PHONY: unit-programs fuzz-programs bench-programs
unit-programs: $(UNIT_TESTS)
fuzz-programs: $(FUZZ_TARGETS)
bench-programs: $(BENCH_PROGRAMS)

# ---- commands; `make help` prints the text after ##

COMMANDS = demo demo-stop test unit regress isolation tap one sanitize fuzz coverage bench bench-smoke container model \
	debug notify install-notify uninstall-notify format lint help
.PHONY: $(COMMANDS)

demo:			## install what it needs, build, start a private server and show the whole loop (Debian; root or sudo)
	test/demo/run

demo-stop:		## stop the demo's server (its data stays; "make demo" starts afresh)
	test/demo/stop

test:			## install what it needs, build, install and run every test; ends in "N passed, N failed"
	test/run

all:			## build the library and the install script (the default)
install:		## install into the PostgreSQL of PG_CONFIG (as root)
uninstall:		## remove what install put there
notify: $(NOTIFY) ## build mnist_hil_notify, which sends events to a webhook or by mail

install-notify: notify ## install it with its systemd unit, in NOTIFY_BINDIR and NOTIFY_UNITDIR (as root)
	mkdir -p '$(DESTDIR)$(NOTIFY_BINDIR)' '$(DESTDIR)$(NOTIFY_UNITDIR)'
	install -m 755 $(NOTIFY) '$(DESTDIR)$(NOTIFY_BINDIR)/'
	sed 's|@bindir@|$(NOTIFY_BINDIR)|' src/notify/mnist_hil_notify.service > $(BUILD)/mnist_hil_notify.service
	install -m 644 $(BUILD)/mnist_hil_notify.service '$(DESTDIR)$(NOTIFY_UNITDIR)/'

uninstall-notify: ## uninstall it
	rm -f '$(DESTDIR)$(NOTIFY_BINDIR)/mnist_hil_notify' '$(DESTDIR)$(NOTIFY_UNITDIR)/mnist_hil_notify.service'

installcheck:	## pg_regress and isolation tests against a running, preloaded server
clean:			## remove everything that was built

unit:			## unit tests of src/nn and src/image
	test/run unit

regress:		## SQL tests in a server of their own, with and without preloading
	test/run regress

isolation:		## concurrency tests
	test/run isolation

tap:			## tests that start, crash, replicate and dump whole servers
	test/run tap

one:			## one test of any kind by name: make one T=prediction
	@test -n "$(T)" || { echo "usage: make one T=name" >&2; exit 2; }
	test/run one $(T)

sanitize:		## unit tests and fuzz targets under AddressSanitizer and UBSan
	test/run sanitize

fuzz:			## fuzz every target for FUZZ_SECONDS (default 60) each
	test/run fuzz

coverage:		## line coverage of src/nn and src/image by the unit tests, in build/coverage
	test/run coverage

bench:			## measure; each program in test/bench says what
	test/run bench

bench-smoke:	## the benchmarks with tiny sizes, to see that they run
	test/run bench-smoke

container:		## build the container's image and test it by podman (root or sudo)
	test/packages.sh install container
	test/run container

model:			## train the bundled model anew from MNIST (sql/bundled); takes a while
	src/tools/train_bundled.sh

debug:			## build without optimisation, for a debugger
	$(MAKE) clean
	$(MAKE) DEBUG=1 all

FORMATTED = $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] test/*/*.[ch])
SCRIPTS = $(shell find . \( -name .git -o -path ./build -o -path ./.demo -o -path ./.cache \) -prune -o \
	-name '*.sql' -print -o -name '*.spec' -print -o -name '*.p[lm]' -print -o -name '*.sh' -print) test/run .ci/run
CLANG_FORMAT = clang-format
CPPCHECK = cppcheck

format:			## put the C sources into shape
	$(CLANG_FORMAT) -i $(FORMATTED)

lint: all		## install what it needs; format, line lengths, cppcheck, test roles, versions, arrows between rooms
	@test/packages.sh install lint
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)
	@bad=0; for file in $(FORMATTED) $(SCRIPTS) Makefile; do \
		case $$file in *.[ch]) most=118 ;; *) most=120 ;; esac; \
		expand -t 4 $$file | awk -v file=$$file -v most=$$most 'length > most \
			{ print file ":" NR ": longer than " most " columns"; bad = 1 } END { exit bad }' || bad=1; done; exit $$bad
	@wc -l $(filter-out sql/bundled/%,$(SQL_PARTS)) | awk '$$2 != "total" && $$1 > 800 \
		{ print $$2 ": longer than 800 lines"; bad = 1 } END { exit bad }'
	$(CPPCHECK) --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
		--suppressions-list=test/cppcheck.txt --library=test/cppcheck.cfg --error-exitcode=1 -j 2 -Isrc src test
	@! grep -rnE 'CREATE (ROLE|USER) ' test/sql test/isolation/specs test/t | \
		grep -vE 'CREATE (ROLE|USER) ("?regress|\$$)' || \
		{ echo 'Test roles are called regress_...: the user who runs the tests may have any other name.' >&2; exit 1; }
	test "$$(grep -c '"version": "$(EXTVERSION)"' META.json)" = 2
	perl test/lint/rooms.pl $(LIBRARY_ARROWS) $(SERVER_ARROWS) $(PROGRAM_ARROWS)

help:			## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
