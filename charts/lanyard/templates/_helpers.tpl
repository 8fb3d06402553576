{{- define "lanyard.name" -}}
{{- .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "lanyard.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (printf "%s-operator" (include "lanyard.name" .)) -}}
{{- end }}

{{- define "lanyard.selector" -}}
app.kubernetes.io/name: lanyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "lanyard.labels" -}}
app.kubernetes.io/name: lanyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What the operator does inside a namespace that it serves. */}}
{{- define "lanyard.rules.namespaced" -}}
# `patch` of Connections is for their finalizer; the consent policy refuses the operator every other change.
- apiGroups: [lanyard.dev]
  resources: [connections]
  verbs: [get, list, watch, patch]
- apiGroups: [lanyard.dev]
  resources: [credentialassetrefs, federatedcredentials]
  verbs: [get, list, watch]
- apiGroups: [lanyard.dev]
  resources: [connections/status, credentialassetrefs/status, federatedcredentials/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What belongs to no namespace. */}}
{{- define "lanyard.rules.cluster" -}}
- apiGroups: [lanyard.dev]
  resources: [connectors, credentialstores]
  verbs: [get, list, watch]
- apiGroups: [lanyard.dev]
  resources: [connectors/status, credentialstores/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}

{{- define "lanyard.operatorSubject" -}}
- kind: ServiceAccount
  name: {{ include "lanyard.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "lanyard.gatewayServiceAccount" -}}
{{- .Values.gateway.serviceAccount.name | default (printf "%s-gateway" (include "lanyard.name" .)) -}}
{{- end }}

{{/* What the gateway reads inside a namespace that it serves. */}}
{{- define "lanyard.rules.gateway" -}}
- apiGroups: [lanyard.dev]
  resources: [connections, federatedcredentials]
  verbs: [get, list, watch]
{{- end }}

{{- define "lanyard.gatewaySubject" -}}
- kind: ServiceAccount
  name: {{ include "lanyard.gatewayServiceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
