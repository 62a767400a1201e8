# Targets for what watches; part of the Makefile.

.PHONY: up-observability dashboards test-observability

up-observability: secrets ## like up, with Prometheus, Alertmanager, Grafana, Loki and Jaeger
	@observability/up.sh

dashboards: $(STAMP) ## write observability/grafana/dashboards anew
	@$(BIN)/python -m observability.dashboards

# A program, or the same under the name that Debian gives it.
missing_tool = $(shell command -v $(1) >/dev/null || command -v prometheus-$(1) >/dev/null || echo $(1))
MISSING_TOOLS = $(strip $(foreach tool,prometheus promtool alertmanager amtool,$(call missing_tool,$(tool))))

test-observability: $(STAMP) ## check rules, routes and dashboards with the real Prometheus and Alertmanager
	@test -z "$(MISSING_TOOLS)" || { echo "Missing: $(MISSING_TOOLS). Debian, Ubuntu: apt-get install prometheus prometheus-alertmanager; else from https://prometheus.io/download/" >&2; exit 1; }
	@$(BIN)/python -m pytest tests/unit/observability tests/observability
