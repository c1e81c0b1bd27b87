{{/* The pod of the StatefulSet and of the Deployment. */}}
{{- define "sealward.pod" -}}
metadata:
  labels:
    {{- include "sealward.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: sealward
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "sealward.name" . }}
  automountServiceAccountToken: false
  # Their names begin with SEALWARD_ too.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  # limits.drain_delay_seconds, limits.drain_timeout_seconds and 10 seconds.
  terminationGracePeriodSeconds: {{ include "sealward.terminationGracePeriodSeconds" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ int64 .Values.userId }}
    runAsGroup: {{ int64 .Values.userId }}
    fsGroup: {{ int64 .Values.userId }}
    {{- if not .Values.postgresql.enabled }}
    # Set once, when the volume is new. Set at every start, it would open the databases to the group.
    fsGroupChangePolicy: OnRootMismatch
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: sealward
      image: {{ include "sealward.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [/usr/bin/sealward-server, serve]
      env:
        - name: SEALWARD_CONFIG
          value: /etc/sealward/sealward.toml
        # A folder in the volume, which the server creates with mode 0700. The group can enter the volume itself.
        - name: SEALWARD_DATA_DIR
          value: /var/lib/sealward/data
        - name: SEALWARD_LISTEN_ADDRESS
          value: {{ printf "%s:7443" .Values.listen.host | quote }}
        - name: SEALWARD_LISTEN_PLAINTEXT_ADDRESS
          value: {{ printf "%s:7080" .Values.listen.host | quote }}
        {{- if .Values.metrics.enabled }}
        - name: SEALWARD_LISTEN_METRICS_ADDRESS
          value: {{ printf "%s:7081" .Values.listen.host | quote }}
        {{- end }}
        {{- if and .Values.metrics.enabled .Values.metrics.token.secretName }}
        - name: SEALWARD_LISTEN_METRICS_TOKEN
          value: /run/secrets/sealward/metrics/token
        {{- end }}
        {{- if or (eq .Values.tls.source "secret") (eq .Values.tls.source "certManager") }}
        - name: SEALWARD_TLS_CERTIFICATE
          value: /run/secrets/sealward/tls/tls.crt
        - name: SEALWARD_TLS_KEY
          value: /run/secrets/sealward/tls/tls.key
        {{- else if eq .Values.tls.source "podCertificate" }}
        # Key and chain are in one file, which the server reads in one go.
        - name: SEALWARD_TLS_CERTIFICATE
          value: /run/secrets/sealward/tls/bundle.pem
        - name: SEALWARD_TLS_KEY
          value: /run/secrets/sealward/tls/bundle.pem
        {{- end }}
        {{- if include "sealward.hasClientCa" . }}
        - name: SEALWARD_TLS_CLIENT_CA
          value: /etc/sealward-client-ca/ca.crt
        {{- if .Values.tls.clientCa.crlKey }}
        - name: SEALWARD_TLS_CLIENT_CRL
          value: /etc/sealward-client-ca/crl.pem
        {{- end }}
        {{- end }}
        {{- with .Values.postgresql }}
        {{- if .enabled }}
        - name: SEALWARD_STORAGE_URL
          value: {{ .url | quote }}
        {{- if .password.secretName }}
        - name: SEALWARD_STORAGE_PASSWORD_FILE
          value: /run/secrets/sealward/postgresql/password
        {{- end }}
        {{- if include "sealward.hasPostgresqlCa" $ }}
        - name: SEALWARD_STORAGE_CA
          value: /etc/sealward-postgresql-ca/ca.crt
        {{- end }}
        {{- if .clientCertificate.secretName }}
        - name: SEALWARD_STORAGE_CLIENT_CERTIFICATE
          value: /run/secrets/sealward/postgresql-client/tls.crt
        - name: SEALWARD_STORAGE_CLIENT_KEY
          value: /run/secrets/sealward/postgresql-client/tls.key
        {{- end }}
        {{- if .owner.role }}
        - name: SEALWARD_STORAGE_OWNER
          value: {{ .owner.role | quote }}
        {{- end }}
        {{- if .owner.password.secretName }}
        - name: SEALWARD_STORAGE_OWNER_PASSWORD_FILE
          value: /run/secrets/sealward/postgresql-owner/password
        {{- end }}
        {{- end }}
        {{- end }}
        - name: SEALWARD_LOG_LEVEL
          value: {{ .Values.log.level | quote }}
        - name: SEALWARD_LOG_FORMAT
          value: json
      ports:
        - name: tls-grpc
          containerPort: 7443
        - name: health
          containerPort: 7080
        {{- if .Values.metrics.enabled }}
        - name: http-metrics
          containerPort: 7081
        {{- end }}
      # Ready once every database is open: up to five minutes.
      startupProbe:
        grpc:
          port: 7080
        periodSeconds: 2
        failureThreshold: 150
      readinessProbe:
        grpc:
          port: 7080
        periodSeconds: 5
        failureThreshold: 1
      # Whether the process responds. A database that doesn't respond is no reason to restart: that would repair nothing.
      livenessProbe:
        httpGet:
          path: /livez
          port: health
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/sealward
          readOnly: true
        - name: root-key
          mountPath: /run/secrets/sealward/root-key
          readOnly: true
        {{- if eq .Values.tls.source "spiffe" }}
        - name: tls
          mountPath: /run/spiffe/workload-api
          readOnly: true
        {{- else }}
        - name: tls
          mountPath: /run/secrets/sealward/tls
          readOnly: true
        {{- end }}
        {{- if include "sealward.hasClientCa" . }}
        - name: client-ca
          mountPath: /etc/sealward-client-ca
          readOnly: true
        {{- end }}
        {{- if and .Values.metrics.enabled .Values.metrics.token.secretName }}
        - name: metrics-token
          mountPath: /run/secrets/sealward/metrics
          readOnly: true
        {{- end }}
        {{- with .Values.postgresql }}
        {{- if .password.secretName }}
        - name: postgresql-password
          mountPath: /run/secrets/sealward/postgresql
          readOnly: true
        {{- end }}
        {{- if include "sealward.hasPostgresqlCa" $ }}
        - name: postgresql-ca
          mountPath: /etc/sealward-postgresql-ca
          readOnly: true
        {{- end }}
        {{- if .clientCertificate.secretName }}
        - name: postgresql-client
          mountPath: /run/secrets/sealward/postgresql-client
          readOnly: true
        {{- end }}
        {{- if .owner.password.secretName }}
        - name: postgresql-owner
          mountPath: /run/secrets/sealward/postgresql-owner
          readOnly: true
        {{- end }}
        {{- end }}
        - name: data
          mountPath: /var/lib/sealward
        {{- if .Values.backup.existingClaim }}
        - name: backup
          mountPath: /var/lib/sealward-backup
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "sealward.name" . }}
    - name: root-key
      secret:
        secretName: {{ .Values.rootKey.secretName }}
        defaultMode: 0440
        items:
          {{- range concat (list .Values.rootKey.key) .Values.rootKey.formerKeys }}
          - key: {{ . }}
            path: {{ . }}
          {{- end }}
    {{- if or (eq .Values.tls.source "secret") (eq .Values.tls.source "certManager") }}
    - name: tls
      secret:
        secretName: {{ include "sealward.certificateSecret" . }}
        defaultMode: 0440
        items:
          - key: {{ eq .Values.tls.source "secret" | ternary .Values.tls.secret.certificate "tls.crt" }}
            path: tls.crt
          - key: {{ eq .Values.tls.source "secret" | ternary .Values.tls.secret.key "tls.key" }}
            path: tls.key
    {{- else if eq .Values.tls.source "podCertificate" }}
    - name: tls
      projected:
        defaultMode: 0440
        sources:
          - podCertificate:
              signerName: {{ .Values.tls.podCertificate.signerName }}
              keyType: {{ .Values.tls.podCertificate.keyType }}
              maxExpirationSeconds: {{ int64 .Values.tls.podCertificate.maxExpirationSeconds }}
              credentialBundlePath: bundle.pem
    {{- else if eq .Values.tls.source "spiffe" }}
    - name: tls
      csi:
        driver: {{ .Values.tls.spiffe.driver }}
        readOnly: true
    {{- end }}
    {{- with .Values.tls.clientCa }}
    {{- if .secretName }}
    - name: client-ca
      secret:
        secretName: {{ .secretName }}
        defaultMode: 0440
        items:
          - key: {{ .key }}
            path: ca.crt
          {{- with .crlKey }}
          - key: {{ . }}
            path: crl.pem
          {{- end }}
    {{- else if .configMapName }}
    - name: client-ca
      configMap:
        name: {{ .configMapName }}
        items:
          - key: {{ .key }}
            path: ca.crt
          {{- with .crlKey }}
          - key: {{ . }}
            path: crl.pem
          {{- end }}
    {{- end }}
    {{- end }}
    {{- if and .Values.metrics.enabled .Values.metrics.token.secretName }}
    - name: metrics-token
      secret:
        secretName: {{ .Values.metrics.token.secretName }}
        defaultMode: 0440
        items:
          - key: {{ .Values.metrics.token.key }}
            path: token
    {{- end }}
    {{- with .Values.postgresql }}
    {{- if .password.secretName }}
    - name: postgresql-password
      secret:
        secretName: {{ .password.secretName }}
        defaultMode: 0440
        items:
          - key: {{ .password.key }}
            path: password
    {{- end }}
    {{- if .ca.secretName }}
    - name: postgresql-ca
      secret:
        secretName: {{ .ca.secretName }}
        defaultMode: 0440
        items:
          - key: {{ .ca.key }}
            path: ca.crt
    {{- else if .ca.configMapName }}
    - name: postgresql-ca
      configMap:
        name: {{ .ca.configMapName }}
        items:
          - key: {{ .ca.key }}
            path: ca.crt
    {{- end }}
    {{- if .clientCertificate.secretName }}
    - name: postgresql-client
      secret:
        secretName: {{ .clientCertificate.secretName }}
        defaultMode: 0440
        items:
          - key: {{ .clientCertificate.certificate }}
            path: tls.crt
          - key: {{ .clientCertificate.key }}
            path: tls.key
    {{- end }}
    {{- if .owner.password.secretName }}
    - name: postgresql-owner
      secret:
        secretName: {{ .owner.password.secretName }}
        defaultMode: 0440
        items:
          - key: {{ .owner.password.key }}
            path: password
    {{- end }}
    {{- if .enabled }}
    # Ends with the pod. It has only files that the server creates again; all data is in PostgreSQL.
    - name: data
      emptyDir:
        sizeLimit: 256Mi
    {{- end }}
    {{- end }}
    {{- with .Values.backup.existingClaim }}
    - name: backup
      persistentVolumeClaim:
        claimName: {{ . }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if not .Values.postgresql.enabled }}
  # One release has one pod. This spreads the pods of several releases in the namespace.
  {{- else if not .Values.topologySpreadConstraints }}
  # For each revision, so that an update doesn't leave its pods on one node.
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- if $.Values.postgresql.enabled }}
          {{- include "sealward.selector" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
          {{- else }}
          app.kubernetes.io/name: sealward
          {{- end }}
    {{- end }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
