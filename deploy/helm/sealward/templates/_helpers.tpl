{{- define "sealward.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains "sealward" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-sealward" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: those of selectors and of the volume claim. */}}
{{- define "sealward.selector" -}}
app.kubernetes.io/name: sealward
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sealward.labels" -}}
{{ include "sealward.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "sealward.metadata" -}}
name: {{ include "sealward.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "sealward.labels" . | nindent 2 }}
{{- end -}}

{{- define "sealward.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the server's certificate, if there is one. */}}
{{- define "sealward.certificateSecret" -}}
{{- if eq .Values.tls.source "certManager" -}}
{{ include "sealward.name" . }}-tls
{{- else -}}
{{ .Values.tls.secret.name }}
{{- end -}}
{{- end -}}

{{- define "sealward.hasClientCa" -}}
{{- if or .Values.tls.clientCa.secretName .Values.tls.clientCa.configMapName }}true{{ end -}}
{{- end -}}

{{- define "sealward.hasPostgresqlCa" -}}
{{- if or .Values.postgresql.ca.secretName .Values.postgresql.ca.configMapName }}true{{ end -}}
{{- end -}}

{{/* The ports in postgresql.url, as a list in JSON. */}}
{{- define "sealward.postgresqlPorts" -}}
{{- $hosts := .Values.postgresql.url | trimPrefix "postgres://" | trimPrefix "postgresql://" | regexFind `@[^/?]*` | trimPrefix "@" -}}
{{- $ports := list -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind `:[0-9]+$` . | trimPrefix ":" | default "5432" | int64) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* The number of servers. On a data folder, only one can run. */}}
{{- define "sealward.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 2 1 .Values.postgresql.enabled -}}
{{- else -}}
{{- int64 .Values.replicas -}}
{{- end -}}
{{- end -}}

{{/* The time until a stopping pod is killed: the two bounds of the drain, and time to write the last lines. */}}
{{- define "sealward.terminationGracePeriodSeconds" -}}
{{- add (int64 .Values.limits.drain_delay_seconds) (int64 .Values.limits.drain_timeout_seconds) 10 -}}
{{- end -}}

{{/* Rules across values, which the schema can't express. */}}
{{- define "sealward.check" -}}
{{- with .Values.tls -}}
{{- $required := dict "secret" .secret.name "certManager" .certManager.issuer.name "podCertificate" .podCertificate.signerName "spiffe" .spiffe.socket -}}
{{- $setting := dict "secret" "tls.secret.name" "certManager" "tls.certManager.issuer.name" "podCertificate" "tls.podCertificate.signerName" "spiffe" "tls.spiffe.socket" -}}
{{- if not (get $required .source) -}}
{{- fail (printf "tls.source is %s: set %s" .source (get $setting .source)) -}}
{{- end -}}
{{- if and .clientCa.secretName .clientCa.configMapName -}}
{{- fail "tls.clientCa: set secretName or configMapName, not both" -}}
{{- end -}}
{{- if not (or (include "sealward.hasClientCa" $) (contains "[[trust_domains]]" $.Values.config)) -}}
{{- fail "tls.clientCa: set secretName or configMapName, the CAs whose client certificates are accepted, or add [[trust_domains]] to config" -}}
{{- end -}}
{{- end -}}
{{- if regexMatch `(?m)^\s*\[+\s*(tls|limits|root_key)\b` .Values.config -}}
{{- fail "config: the chart writes [tls], [limits] and [[root_key.sources]]: use the values tls, limits and rootKey" -}}
{{- end -}}
{{- if regexMatch `(?m)^\s*\[+\s*storage\b` .Values.config -}}
{{- fail "config: the chart sets [storage]: use the value postgresql" -}}
{{- end -}}
{{- if .Values.postgresql.enabled -}}
{{- include "sealward.checkPostgresql" . -}}
{{- else -}}
{{- include "sealward.checkFiles" . -}}
{{- end -}}
{{- end -}}

{{/* Rules for data in files: one server, and nothing of PostgreSQL. */}}
{{- define "sealward.checkFiles" -}}
{{- with .Values.postgresql -}}
{{- $given := dict "url" .url "password.secretName" .password.secretName "ca.secretName" .ca.secretName "ca.configMapName" .ca.configMapName "clientCertificate.secretName" .clientCertificate.secretName "owner.role" .owner.role "owner.password.secretName" .owner.password.secretName -}}
{{- range $name, $value := $given -}}
{{- if $value -}}
{{- fail (printf "postgresql.%s applies to data in PostgreSQL only: set postgresql.enabled, or remove it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "postgresql" "dns" -}}
{{- if get $.Values.networkPolicy $name -}}
{{- fail (printf "networkPolicy.%s applies to data in PostgreSQL only: set postgresql.enabled, or use networkPolicy.egress" $name) -}}
{{- end -}}
{{- end -}}
{{- if ne (include "sealward.replicas" .) "1" -}}
{{- fail "replicas: only one server can run on a data folder: set postgresql.enabled for several, or remove replicas" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling: only one server can run on a data folder: set postgresql.enabled, or remove autoscaling.enabled" -}}
{{- end -}}
{{- end -}}

{{/* Rules for data in PostgreSQL. A message doesn't repeat the address, which may contain a password. */}}
{{- define "sealward.checkPostgresql" -}}
{{- with .Values.postgresql -}}
{{- if not .url -}}
{{- fail "postgresql.enabled: set postgresql.url, such as postgres://sealward@db.example.org:5432/sealward" -}}
{{- end -}}
{{- if regexMatch `(://[^@/?]*:[^@/?]*@|[?&]password=)` .url -}}
{{- fail "postgresql.url: contains a password: remove it, and set postgresql.password.secretName" -}}
{{- end -}}
{{- if not (regexMatch `^postgres(ql)?://[^@/?\s]+@[^@/?\s]+/[^/?\s]+(\?\S*)?$` .url) -}}
{{- fail "postgresql.url: not an address of the form postgres://USER@HOST:PORT/DATABASE" -}}
{{- end -}}
{{- if not (or .password.secretName .clientCertificate.secretName) -}}
{{- fail "postgresql: set password.secretName or clientCertificate.secretName, which authenticate the role in url" -}}
{{- end -}}
{{- if and .ca.secretName .ca.configMapName -}}
{{- fail "postgresql.ca: set secretName or configMapName, not both" -}}
{{- end -}}
{{- if and .owner.password.secretName (not .owner.role) -}}
{{- fail "postgresql.owner: set role, or remove password.secretName" -}}
{{- end -}}
{{- if and .owner.role (not (or .owner.password.secretName .clientCertificate.secretName)) -}}
{{- fail "postgresql.owner: set password.secretName, which authenticates role" -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.persistence -}}
{{- if $value -}}
{{- fail (printf "persistence.%s applies to data in files only: remove it, because pods over PostgreSQL have no volume that outlives them" $name) -}}
{{- end -}}
{{- end -}}
{{- if .Values.backup.existingClaim -}}
{{- fail "backup.existingClaim applies to data in files only: remove it, and back up with the tools of PostgreSQL" -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- if not (kindIs "invalid" $.Values.replicas) -}}
{{- fail "replicas: the autoscaler sets the number of servers: remove replicas, and set autoscaling.minReplicas" -}}
{{- end -}}
{{- if gt (int64 .minReplicas) (int64 .maxReplicas) -}}
{{- fail "autoscaling.minReplicas: exceeds autoscaling.maxReplicas" -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $.Values.resources) -}}
{{- fail "autoscaling: set resources.requests.cpu, of which targetCPUUtilizationPercentage is a part" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
