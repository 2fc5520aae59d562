# Runs in Image Builder's validation, on a second machine that was started from the image: that it
# runs at all shows that the image boots. No scanner knows the packages of Windows itself, so the
# updates that Windows Update still offers are the findings, in the shape of a Trivy report.
$ErrorActionPreference = 'Stop'
$ReportUrl = '{{report_url}}'
$Identity = '{{identity}}'

$session = New-Object -ComObject Microsoft.Update.Session
$offered = $session.CreateUpdateSearcher().Search("IsInstalled=0 and IsHidden=0 and Type='Software'").Updates
$findings = @()
foreach ($update in $offered) {
  $severity = switch ($update.MsrcSeverity) {
    'Critical' { 'CRITICAL' } 'Important' { 'HIGH' } 'Moderate' { 'MEDIUM' } 'Low' { 'LOW' } default { 'UNKNOWN' }
  }
  $ids = @($update.CveIDs | ForEach-Object { $_ })
  if ($ids.Count -eq 0) { $ids = @($update.KBArticleIDs | ForEach-Object { "KB$_" }) }
  foreach ($id in $ids) {
    $findings += @{
      VulnerabilityID = $id; PkgName = 'windows'; InstalledVersion = [Environment]::OSVersion.Version.ToString()
      FixedVersion = (@($update.KBArticleIDs | ForEach-Object { "KB$_" }) -join ', '); Severity = $severity; Title = $update.Title
    }
  }
}
$report = @{
  SchemaVersion = 2; ArtifactName = $env:COMPUTERNAME; ArtifactType = 'vm'
  CreatedAt = (Get-Date).ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ssZ')
  Metadata = @{ OS = @{ Family = 'windows'; Name = [Environment]::OSVersion.Version.ToString() } }
  Results = @(@{ Target = 'Windows Update'; Class = 'os-pkgs'; Type = 'windows'; Vulnerabilities = $findings })
}

$query = "api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F&msi_res_id=$([uri]::EscapeDataString($Identity))"
$token = (Invoke-RestMethod -Headers @{ Metadata = 'true' } -Uri "http://169.254.169.254/metadata/identity/oauth2/token?$query").access_token
$headers = @{ Authorization = "Bearer $token"; 'x-ms-version' = '2023-11-03'; 'x-ms-blob-type' = 'BlockBlob' }
$body = [Text.Encoding]::UTF8.GetBytes(($report | ConvertTo-Json -Depth 8))
Invoke-RestMethod -Method Put -Uri $ReportUrl -Headers $headers -ContentType 'application/json' -Body $body
