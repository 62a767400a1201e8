# Targets for the containers; part of the Makefile.

export COMPOSE ?= docker compose
SERVICE ?=

.PHONY: up down logs secrets upgrade backup restore test-compose

secrets: ## make what is missing in ./secrets
	@deploy/make-secrets.sh

up: secrets ## build the containers, start them all and wait until they answer
	@deploy/up.sh --build --remove-orphans
	@deploy/welcome.sh

down: ## stop and remove the containers; their data stays
	@$(COMPOSE) down

logs: ## follow the containers' logs; SERVICE=redirector picks one
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

upgrade: secrets ## replace what runs by what is checked out, without losing a request
	@deploy/upgrade.sh

backup: ## write the database of the containers into ./backups
	@deploy/backup.sh

restore: ## read a backup into a system without data: FILE=backups/….dump
	@deploy/restore.sh $(FILE)

test-compose: $(STAMP) ## run the tests of the containers, where an engine answers
	@$(BIN)/python -m pytest tests/compose
