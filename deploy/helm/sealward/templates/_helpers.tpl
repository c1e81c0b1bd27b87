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
{{- end -}}
