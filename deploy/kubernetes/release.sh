#!/usr/bin/env bash
# Release an image to Kubernetes (docs/kubernetes.md).
#   release.sh deploy OVERLAY IMAGE URL   pre-deploy migrations, rollout, smoke test; rolls back if one of the last two fails
#   release.sh finish IMAGE               post-deploy migrations, after which the previous release cannot run any more
set -euo pipefail
cd "$(dirname "$0")/../.."

render() { # the resources of an overlay with the image of this release
  kubectl kustomize "deploy/kubernetes/overlays/$1" | sed "s|^\( *image: \).*|\1$2|"
}

migrate() {
  kubectl --namespace shop delete job "migrate-$1" --ignore-not-found # a Job cannot be changed
  render "$1" "$2" | kubectl apply -f -
  for _ in $(seq 200); do
    ended=$(kubectl --namespace shop get job "migrate-$1" --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
    case $ended in
      *Complete*) return ;;
      *Failed*) break ;;
    esac
    sleep 5
  done
  kubectl --namespace shop logs "job/migrate-$1" >&2 || true
  echo "the migration has failed; the previous release still serves" >&2
  exit 1
}

rolled_out() {
  kubectl --namespace shop rollout status --timeout=600s deployment/shop-api &&
    kubectl --namespace shop rollout status --timeout=600s deployment/shop-worker
}

case ${1:-} in
  deploy)
    migrate before-deploy "$3"
    render "$2" "$3" | kubectl apply -f -
    if ! { rolled_out && make smoke URL="$4"; }; then
      echo "rolling back; migrations stay, because the previous release works with them" >&2
      kubectl --namespace shop rollout undo deployment/shop-api deployment/shop-worker
      rolled_out
      exit 1
    fi
    ;;
  finish) migrate after-deploy "$2" ;;
  *)
    sed -n '2,4s/^# \?//p' "$0" >&2
    exit 2
    ;;
esac
