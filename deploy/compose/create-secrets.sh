#!/usr/bin/env bash
# Creates the secrets of deploy/compose.yaml in deploy/secrets, with random passwords and a certificate that clients do not
# trust. Existing ones stay. Replace SMTP_URL, PAYMENTS_URL, shop.pem and shop.key with your own.
set -euo pipefail
mkdir -p "$(dirname "$0")/../secrets"
cd "$(dirname "$0")/../secrets"
chmod 711 . # containers read the files as their own users, so the files are readable and the folder cannot be listed

create() { [ -e "$1" ] || printf '%s\n' "$2" >"$1"; }
random() { openssl rand -hex 24; }
create postgres_password "$(random)"
create rabbitmq_password "$(random)"
create grafana_password "$(random)"
create rabbitmq.conf "default_user = shop
default_pass = $(cat rabbitmq_password)"
create DATABASE_URL "postgresql://shop:$(cat postgres_password)@postgres:5432/shop"
create DATABASE_REPLICA_URLS "postgresql://shop:$(cat postgres_password)@replica:5432/shop"
create JOBS_URL "amqp://shop:$(cat rabbitmq_password)@rabbitmq:5672/"
create JWT_SECRET "$(random)$(random)"
create REDIS_URL redis://redis:6379/0
create SMTP_URL folder:/data/mail
create PAYMENTS_URL fake:////data/payments.db
[ -e shop.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=shop.example.com \
  -addext subjectAltName=DNS:shop.example.com -keyout shop.key -out shop.pem 2>/dev/null
chmod 644 ./*
