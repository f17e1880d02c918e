{{/* A scope holds the parts of a pod: root ($), name, component, service (its entry merged over the defaults), command */}}

{{/* name -> service, as JSON: its entry merged over the defaults, and its callers. */}}
{{- define "mercato.services" -}}
{{- $services := dict }}
{{- range $name, $entry := .Values.services }}
{{- $callers := list }}
{{- range $caller, $its := $.Values.services }}
{{- if has $name $its.calls }}{{ $callers = append $callers $caller }}{{ end }}
{{- end }}
{{- $_ := set $services $name (mergeOverwrite (deepCopy $.Values.defaults) $entry (dict "callers" $callers)) }}
{{- end }}
{{- toJson $services }}
{{- end }}

{{/* The head of an object, from [scope, apiVersion, kind, name]. */}}
{{- define "mercato.object" }}
---
apiVersion: {{ index . 1 }}
kind: {{ index . 2 }}
metadata:
  name: {{ index . 3 }}
  labels:
    {{- include "mercato.labels" (index . 0) | nindent 4 }}
    app.kubernetes.io/instance: {{ (index . 0).root.Release.Name }}
    app.kubernetes.io/managed-by: {{ (index . 0).root.Release.Service }}
{{- end }}

{{- define "mercato.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: mercato
{{- end }}

{{- define "mercato.selector" -}}
{app.kubernetes.io/name: {{ .name }}, app.kubernetes.io/component: {{ .component }}}
{{- end }}

{{/* The name of the Secret. Empty values of the chart's own are those in the cluster, or generated once. */}}
{{- define "mercato.secret" -}}
{{- $name := .Values.secret.existing | default "mercato" }}
{{- $kept := (lookup "v1" "Secret" .Release.Namespace $name).data | default dict }}
{{- if not .Values.secret.existing }}
{{- range $key := list "PLATFORM_SECRET" "ADMIN_PASSWORD" }}
{{- $value := get $.Values.secret.values $key | default (get $kept $key | b64dec) | default (randAlphaNum 40) }}
{{- $_ := set $.Values.secret.values $key $value }}
{{- end }}
{{- else if or $kept (not (include "mercato.connected" .)) }}
{{- $_ := set .Values.secret "values" $kept }}
{{- else }}
{{- fail (printf "secret.existing: no Secret %s in namespace %s" $name .Release.Namespace) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* Whether Helm can look up objects: not where it only renders. */}}
{{- define "mercato.connected" -}}
{{- if lookup "v1" "ServiceAccount" .Release.Namespace "default" }}yes{{ end }}
{{- end }}

{{/* What a pod takes from Secrets, as JSON: what -> {name, key, optional, value}; no value where Helm only renders. */}}
{{- define "mercato.secrets" -}}
{{- $own := include "mercato.secret" .root }}
{{- $wanted := deepCopy .service.secrets }}
{{- with .service.authority }}{{ $_ := set $wanted "authority" . }}{{ end }}
{{- $found := dict }}
{{- range $what, $where := $wanted }}
{{- $parts := append (splitList "/" ($where | default $own)) $what }}
{{- $name := index $parts 0 }}
{{- $key := index $parts 1 }}
{{- $values := $.root.Values.secret.values }}
{{- if ne $name $own }}{{ $values = (lookup "v1" "Secret" $.root.Release.Namespace $name).data | default dict }}{{ end }}
{{- $value := get $values $key }}
{{- $optional := eq $what "PLATFORM_SECRET_ACCEPTED" }}
{{- if and (not $value) (not $optional) (or $values (include "mercato.connected" $.root)) }}
{{- fail (printf "%s: %s: namespace %s has no Secret %s with the key %s" $.name $what $.root.Release.Namespace $name $key) }}
{{- end }}
{{- $_ := set $found $what (dict "name" $name "key" $key "optional" $optional "value" $value) }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* The settings of a service. It finds an upstream by the headless Service of its pods; while DNS lists no live pod,
     by its ClusterIP, which knows at once which pods are ready. */}}
{{- define "mercato.settings" -}}
{{- $addresses := list }}
{{- range .service.calls }}{{ $addresses = append $addresses (printf "%s=%s-pods:8080||%s:80" . . .) }}{{ end }}
{{- if and .service.settings.KAFKA_SASL_MECHANISM (not (hasKey .service.secrets "KAFKA_SASL_PASSWORD")) }}
{{- fail (printf "%s: KAFKA_SASL_MECHANISM in settings needs KAFKA_SASL_PASSWORD in secrets" .name) }}
{{- end }}
{{- $installation := .root.Values.installation | default (printf "%s/%s" .root.Release.Namespace .root.Release.Name) }}
{{- $found := dict "ADDRESSES" (join "," $addresses) "INSTALLATION" $installation }}
{{- with .root.Values.prefix }}{{ $_ := set $found "PREFIX" . }}{{ end }}
{{- with .root.Values.edge }}
{{- if .host }}
{{- $_ := set $found "PUBLIC_URL" (printf "%s://%s" (empty .ingress.tlsSecret | ternary "http" "https") .host) }}
{{- end }}
{{- end }}
{{- if .root.Values.dualStack }}{{ $_ := set $found "HOST" "::" }}{{ end }}
{{- toYaml (mergeOverwrite $found .service.settings) }}
{{- end }}

{{- define "mercato.identity" }}
{{- $kept := (lookup "v1" "ConfigMap" .root.Release.Namespace .name).data }}
{{- if and $kept (ne (get $kept "PREFIX") .root.Values.prefix) }}
{{- fail (printf "prefix: it is %q; a new one begins an empty shop: uninstall this release first" (get $kept "PREFIX")) }}
{{- end }}
{{- include "mercato.object" (list . "v1" "ConfigMap" .name) }}
data: {{- include "mercato.settings" . | nindent 2 }}
{{- include "mercato.object" (list . "v1" "ServiceAccount" .name) }}
automountServiceAccountToken: false
{{- end }}

{{/* A pod that runs the command of the scope with the settings and account of `identity`; `restart` for one that ends. */}}
{{- define "mercato.pod" -}}
{{- $secrets := include "mercato.secrets" . }}
metadata:
  labels: {{- include "mercato.labels" . | nindent 4 }}
  {{- if not .restart }}
  annotations:
    checksum/settings: {{ print (include "mercato.settings" .) $secrets .root.Values.secret.revision | sha256sum }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "9090"
  {{- end }}
spec:
  serviceAccountName: {{ .identity | default "default" }}
  automountServiceAccountToken: false
  enableServiceLinks: false # a Service named `health` would set HEALTH_PORT
  imagePullSecrets: {{ toJson .service.image.pullSecrets }}
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- else }}
  terminationGracePeriodSeconds: 45 # 5 s until clients stop sending, 25 s to finish, and a margin
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: {matchLabels: {{ include "mercato.selector" $ }}}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      {{- with .service.image }}
      image: {{ with .registry }}{{ . }}/{{ end }}{{ .prefix }}{{ $.image | default $.name }}:{{ .tag }}
      imagePullPolicy: {{ .pullPolicy }}
      {{- end }}
      command: {{ toJson .command }}
      {{- with .identity }}
      envFrom: [{configMapRef: {name: {{ . }}}}]
      {{- end }}
      env:
        {{- range $setting, $from := omit (fromJson $secrets) "authority" }}
        - name: {{ $setting }}
          valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}}
        {{- end }}
        {{- if .service.authority }}
        - {name: SSL_CERT_FILE, value: /etc/mercato/authority.crt}
        {{- end }}
        {{- if .service.settings.OTEL_EXPORTER_OTLP_ENDPOINT }}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - name: OTEL_RESOURCE_ATTRIBUTES # the later of two values holds
          value: {{ printf "service.version=%v,k8s.pod.name=$(POD_NAME),%s" .service.image.tag (.service.settings.OTEL_RESOURCE_ATTRIBUTES | default "") | trimSuffix "," | quote }}
        {{- end }}
      {{- if not .restart }}
      ports:
        {{- if eq .component "web" }}
        - {name: http, containerPort: 8080}
        {{- end }}
        - {name: health, containerPort: 9090}
      startupProbe: # ten minutes, because a process waits for its store
        {httpGet: {path: /startupz, port: health}, periodSeconds: 2, failureThreshold: 300}
      livenessProbe: {httpGet: {path: /livez, port: health}, timeoutSeconds: 5}
      readinessProbe: {httpGet: {path: /readyz, port: health}, periodSeconds: 5, timeoutSeconds: 2}
      {{- end }}
      {{- if eq .component "web" }}
      lifecycle: {preStop: {sleep: {seconds: 5}}}
      {{- end }}
      resources: {{- toYaml .service.resources | nindent 8 }}
      securityContext:
        runAsUser: 10001
        runAsGroup: 10001
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if .service.authority }}
        - {name: authority, mountPath: /etc/mercato, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- with .service.authority }}
    - name: authority
      secret:
        secretName: {{ splitList "/" . | first }}
        items: [{key: {{ splitList "/" . | last }}, path: authority.crt}]
    {{- end }}
{{- end }}
